#include "address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace c10k {

namespace {

constexpr std::string_view kTcp = "tcp://";
constexpr std::string_view kUnix = "unix://";

[[noreturn]] void refuse(const std::string& text, const std::string& expected) {
    throw std::invalid_argument("address '" + text + "': expected " + expected);
}

template <typename Sockaddr>
Address store(const Sockaddr& value, std::size_t length = sizeof(Sockaddr)) {
    Address address;
    std::memcpy(&address.storage, &value, sizeof value);
    address.length = static_cast<socklen_t>(length);
    return address;
}

Address parse_unix(const std::string& text) {
    const std::string path = text.substr(kUnix.size());
    sockaddr_un name{};
    if (!path.starts_with('/')) refuse(text, "an absolute path after unix://");
    // One byte of sun_path is the terminating zero.
    if (path.size() >= sizeof name.sun_path) refuse(text, "a path of at most 107 bytes");
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path.data(), path.size());
    return store(name, offsetof(sockaddr_un, sun_path) + path.size() + 1);
}

in_port_t parse_port(const std::string& text, std::string_view digits) {
    in_port_t port = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, port);
    if (error != std::errc{} || stop != end || port == 0) refuse(text, "a port from 1 to 65535");
    return htons(port);
}

Address parse_tcp(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon < kTcp.size()) refuse(text, "tcp://HOST:PORT");
    const in_port_t port = parse_port(text, std::string_view(text).substr(colon + 1));
    std::string host = text.substr(kTcp.size(), colon - kTcp.size());
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        sockaddr_in6 name{};
        name.sin6_family = AF_INET6;
        name.sin6_port = port;
        host = host.substr(1, host.size() - 2);
        if (::inet_pton(AF_INET6, host.c_str(), &name.sin6_addr) == 1) return store(name);
        refuse(text, "an IPv6 address between the brackets");
    }
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = port;
    if (::inet_pton(AF_INET, host.c_str(), &name.sin_addr) == 1) return store(name);
    refuse(text, "a numeric IPv4 address, or an IPv6 address in brackets");
}

}  // namespace

Address parse_address(const std::string& text) {
    if (text.starts_with(kTcp)) return parse_tcp(text);
    if (text.starts_with(kUnix)) return parse_unix(text);
    refuse(text, "tcp://HOST:PORT or unix:///PATH");
}

std::vector<Address> parse_sources(const std::vector<std::string>& texts, const Address& server) {
    std::vector<Address> sources;
    for (const std::string& text : texts) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        if (server.family() != AF_INET || ::inet_pton(AF_INET, text.c_str(), &name.sin_addr) != 1) {
            throw std::invalid_argument("source '" + text +
                                        "': expected an IPv4 address, and an IPv4 server");
        }
        sources.push_back(store(name));
    }
    return sources;
}

}  // namespace c10k
