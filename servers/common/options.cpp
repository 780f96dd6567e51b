#include "options.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

namespace c10k {
namespace {

constexpr std::string_view tcp_prefix = "tcp://";
constexpr std::string_view unix_prefix = "unix://";

std::optional<int> parse_integer(std::string_view text, int lowest, int highest) {
    int value = 0;
    const char* end = text.data() + text.size();
    const auto [parsed_to, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || parsed_to != end || value < lowest || value > highest) {
        return std::nullopt;
    }
    return value;
}

Fault bad_listen(const std::string& listen, const std::string& problem) {
    return Fault(exit_usage, "LISTEN='" + listen + "': " + problem +
                                 "; expected tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH");
}

// Only literal addresses: a name that resolves to something else tomorrow is no fixed test set-up.
void parse_tcp(Options& options, std::string_view rest) {
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos) {
        throw bad_listen(options.listen, "no port");
    }
    const std::optional<int> port = parse_integer(rest.substr(colon + 1), 1, 65535);
    if (!port) {
        throw bad_listen(options.listen, "the port is not a number from 1 to 65535");
    }
    const in_port_t port_be = htons(static_cast<in_port_t>(*port));
    std::string host(rest.substr(0, colon));
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = port_be;
        if (inet_pton(AF_INET6, host.c_str(), &address.sin6_addr) != 1) {
            throw bad_listen(options.listen, "'" + host + "' is not an IPv6 address");
        }
        std::memcpy(&options.address, &address, sizeof address);
        options.address_bytes = sizeof address;
        return;
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = port_be;
    if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
        throw bad_listen(options.listen, "'" + host + "' is not an IPv4 address");
    }
    std::memcpy(&options.address, &address, sizeof address);
    options.address_bytes = sizeof address;
}

void parse_unix(Options& options, std::string_view path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() < 2 || path.front() != '/') {
        throw bad_listen(options.listen, "the path is not absolute");
    }
    if (path.size() >= sizeof address.sun_path) {
        throw bad_listen(
            options.listen,
            "the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    std::memcpy(&options.address, &address, sizeof address);
    options.address_bytes = sizeof address;
}

} // namespace

Options parse_options(const std::string& listen, const std::string& backlog) {
    Options options;
    options.listen = listen;
    const std::string_view view = options.listen;
    if (view.starts_with(tcp_prefix)) {
        parse_tcp(options, view.substr(tcp_prefix.size()));
    } else if (view.starts_with(unix_prefix)) {
        parse_unix(options, view.substr(unix_prefix.size()));
    } else {
        throw bad_listen(options.listen, "unknown kind of address");
    }
    const std::optional<int> value = parse_integer(backlog, 1, backlog_max);
    if (!value) {
        throw Fault(exit_usage, "BACKLOG='" + backlog + "': expected a number from 1 to " +
                                    std::to_string(backlog_max));
    }
    options.backlog = *value;
    return options;
}

Options options_from_environment() {
    const char* listen = std::getenv("LISTEN");
    const char* backlog = std::getenv("BACKLOG");
    return parse_options(listen != nullptr ? listen : listen_default,
                         backlog != nullptr ? backlog : std::to_string(backlog_default));
}

} // namespace c10k
