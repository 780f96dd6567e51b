#include "server.hpp"

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>

namespace c10k {
namespace {

sigset_t awaited_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    return signals;
}

Asked asked_by(int signal) {
    return signal == SIGUSR1 ? Asked::counters : Asked::stop;
}

// Ten thousand connections need ten thousand descriptors, and the usual soft limit is 1,024.
void raise_open_files_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); // refused: EMFILE is handled where it happens
    }
}

} // namespace

Counters& Counters::operator+=(const Counters& other) {
    accepted += other.accepted;
    closed += other.closed;
    bytes_in += other.bytes_in;
    bytes_out += other.bytes_out;
    waits += other.waits;
    events += other.events;
    return *this;
}

void print(const Counters& counters) {
    std::fprintf(stderr,
                 "{\"counters\":{\"accepted\":%" PRIu64 ",\"closed\":%" PRIu64
                 ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"waits\":%" PRIu64
                 ",\"events\":%" PRIu64 "}}\n",
                 counters.accepted, counters.closed, counters.bytes_in, counters.bytes_out,
                 counters.waits, counters.events);
}

int open_signal_descriptor() {
    const sigset_t signals = awaited_signals();
    const int fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        throw Fault(exit_runtime, std::string("signalfd: ") + std::strerror(errno));
    }
    return fd;
}

Asked read_signal(int descriptor) {
    signalfd_siginfo info;
    if (read(descriptor, &info, sizeof info) == sizeof info) {
        return asked_by(static_cast<int>(info.ssi_signo));
    }
    if (errno != EAGAIN && errno != EINTR) {
        throw Fault(exit_runtime, std::string("signalfd: ") + std::strerror(errno));
    }
    return Asked::nothing;
}

Asked wait_for_signal() {
    const sigset_t signals = awaited_signals();
    int signal = 0;
    sigwait(&signals, &signal); // fails for a set of signals that do not exist, and this is not one
    return asked_by(signal);
}

int run_server(int argc, Counters (*serve)(const Options&)) {
    const sigset_t signals = awaited_signals();
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    // send() is told MSG_NOSIGNAL; this is for the last line, should stderr be a broken pipe.
    std::signal(SIGPIPE, SIG_IGN);
    try {
        if (argc > 1) {
            throw Fault(exit_usage, "takes no arguments; set LISTEN and BACKLOG");
        }
        const Options options = options_from_environment();
        raise_open_files_limit();
        print(serve(options));
        return 0;
    } catch (const Fault& fault) {
        std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, fault.what());
        return fault.exit_code();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, error.what());
        return exit_runtime;
    }
}

} // namespace c10k
