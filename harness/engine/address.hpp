// Addresses as the harness writes them: tcp://127.0.0.1:7000, tcp://[::1]:7000, unix:///path.
#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

namespace c10k {

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    int family() const noexcept { return storage.ss_family; }
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Throws std::invalid_argument with the text and what was expected.
Address parse_address(const std::string& text);

// Local IPv4 addresses (port 0) to connect from. Throws std::invalid_argument, also when the
// server's address is not IPv4.
std::vector<Address> parse_sources(const std::vector<std::string>& texts, const Address& server);

}  // namespace c10k
