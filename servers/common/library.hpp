// The main of a server whose event loop is a library's, for comparison with the ones here.
//
// It listens as the others do (listener.hpp) and holds to the same limits; how it waits, accepts,
// reads and writes is the library's.
#pragma once

#include "listener.hpp"
#include "server.hpp"

#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

namespace c10k {

// Serves until a signal; then the listener may be closed.
using ServeOn = void (*)(const Listener&, const Options&);

// The body of main: with --version, prints `version`; else serves what the environment asks.
// Returns the exit code; a failure is one line on stderr.
inline int run_on_library(int argc, char** argv, const std::string& version, ServeOn serve) {
    if (argc == 2 && std::string_view(argv[1]) == "--version") {
        std::puts(version.c_str());
        return 0;
    }
    std::signal(SIGPIPE, SIG_IGN); // not every library asks for MSG_NOSIGNAL
    try {
        if (argc > 1) {
            throw Fault(exit_usage, "takes no arguments; set LISTEN and BACKLOG");
        }
        const Options options = options_from_environment();
        rlimit limit{};
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
            limit.rlim_cur = limit.rlim_max;
            setrlimit(RLIMIT_NOFILE, &limit);
        }
        const Listener listener(options, SOCK_NONBLOCK);
        serve(listener, options);
        return 0;
    } catch (const std::exception& error) {
        const auto* fault = dynamic_cast<const Fault*>(&error);
        std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, error.what());
        return fault != nullptr ? fault->exit_code() : exit_runtime;
    }
}

} // namespace c10k
