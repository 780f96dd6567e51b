// Processes, forked beforehand: as many connections at a time as there are processes.
//
// How it waits: every process blocks in accept on the listening socket that it inherited, serves
// the one connection that it got until its end, and comes back for the next. The parent serves no
// connection: it waits for signals, and forks a new process in the place of one that dies.
//
// What it costs: per echo recv + send and a switch, which changes the address space as well as the
// thread. Per process page tables and the pages that it writes to, far more than a thread.
//
// The trap: processes share no memory by default. A descriptor belongs to one process, and a signal
// reaches one, so the counters are in memory that is mapped as shared. And the bound is that of
// servers/thread-pool: the next client waits in the listening socket's queue.
#include "../common/listener.hpp"
#include "processes.hpp"

#include <poll.h>

namespace {

using namespace c10k;

constexpr std::size_t processes_max = 128; // as variant.toml declares

// A worker's own, for its signal handler.
volatile std::sig_atomic_t stopping = 0;
volatile std::sig_atomic_t connection_fd = -1;

void end_connection(int) {
    const int interrupted = errno;
    stopping = 1;
    shutdown(connection_fd, SHUT_RDWR); // a flag alone would be missed by a recv about to block
    errno = interrupted;
}

// All signals are blocked in the parent, so for a worker these two begin here.
void hear_of_end() {
    struct sigaction action{};
    action.sa_handler = end_connection;
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT}) {
        sigaction(signal, &action, nullptr);
        sigaddset(&signals, signal);
    }
    sigprocmask(SIG_UNBLOCK, &signals, nullptr);
}

void serve_connection(int fd, Tally& tally) {
    Tally::add(tally.accepted, 1);
    connection_fd = fd;
    if (stopping == 0) { // asked after the store: the handler sees the one or this sees the other
        echo_until_over(fd, tally);
    }
    // Counted before the peer can see the end, so a peer that has seen it finds it counted.
    Tally::add(tally.closed, stopping == 0 ? 1 : 0);
    connection_fd = -1;
    close(fd);
}

int work(int listener, Tally& tally) {
    hear_of_end();
    while (stopping == 0) {
        const Accept accept = accept_connection(listener, 0);
        if (accept.result == Accepted::connection) {
            serve_connection(accept.fd, tally);
        } else if (accept.result == Accepted::no_room) {
            std::this_thread::sleep_for(std::chrono::milliseconds(rest_ms));
        } else if (accept.result == Accepted::failed && stopping == 0) {
            return errno;
        }
    }
    return 0;
}

Counters serve(const Options& options) {
    const Listener listener(options, 0);
    Processes<processes_max> workers(listener.fd(), work);
    pollfd news[] = {{open_signal_descriptor(), POLLIN, 0},
                     {workers.ended_descriptor(), POLLIN, 0}};
    for (;;) {
        poll(news, std::size(news), -1);
        workers.replace_ended();
        switch (read_signal(news[0].fd)) {
        case Asked::nothing:
            break;
        case Asked::counters:
            print(workers.sum());
            break;
        case Asked::stop:
            workers.stop();
            return workers.sum();
        }
    }
}

} // namespace

int main(int argc, char**) {
    return c10k::run_server(argc, serve);
}
