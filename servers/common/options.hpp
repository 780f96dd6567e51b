// The two options of a server, both from the environment: LISTEN and BACKLOG.
#pragma once

#include <sys/socket.h>

#include <stdexcept>
#include <string>

namespace c10k {

// The contract has these two defaults (docs/add-a-server.md); the backlog is the kernel's own
// default of net.core.somaxconn since 5.4, which silently caps every backlog.
inline constexpr const char* listen_default = "tcp://0.0.0.0:7000";
inline constexpr int backlog_default = 4096;
inline constexpr int backlog_max = 65535;

inline constexpr int exit_runtime = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_unavailable = 69; // EX_UNAVAILABLE of sysexits.h: not on this host

// An error that ends the server: one line for stderr, and the exit code.
class Fault : public std::runtime_error {
public:
    Fault(int exit_code, const std::string& message)
        : std::runtime_error(message), exit_code_(exit_code) {}
    int exit_code() const { return exit_code_; }

private:
    int exit_code_;
};

struct Options {
    std::string listen;         // as it was written, for messages
    sockaddr_storage address{}; // the same, as the kernel takes it
    socklen_t address_bytes = 0;
    int backlog = backlog_default;
};

// Parses the two values. Throws Fault(exit_usage) that names the value and what is expected.
Options parse_options(const std::string& listen, const std::string& backlog);

// The same, from LISTEN and BACKLOG, with the defaults for what is not set.
Options options_from_environment();

} // namespace c10k
