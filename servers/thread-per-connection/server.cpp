// A thread per connection: each thread waits for one connection.
//
// How it waits: a blocking recv puts its thread to sleep until this one connection has data; the
// scheduler's run queue is the list of those that are ready. The code of a connection reads from
// top to bottom, and a slow reader blocks only the send to itself.
//
// What it costs: two system calls per echo, recv + send, and none that only waits (so the counters
// `waits` and `events` stay 0); instead a switch of threads for each echo that finds its thread
// asleep. Per connection a task and its kernel stack, some 20 KB, and a stack of its own.
//
// The traps: a default stack of 8 MiB of address space; and the end: a signal comes to one thread
// while all the others sleep. Here one thread does nothing but wait for signals; a listener that is
// shut down wakes the accepting thread, and connections that are shut down wake theirs.
#include "../common/cells.hpp"
#include "../common/listener.hpp"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace {

using namespace c10k;
using std::chrono::milliseconds;

// The buffer, libc's frames and the thread's own block need 24 KiB; the rest is room that is only
// addressed: pages that no call reaches are never given memory. Sanitizers have larger frames.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t stack_bytes = 256 * 1024;
#else
constexpr std::size_t stack_bytes = 64 * 1024;
#endif
static_assert(stack_bytes >= 3 * buffer_bytes);

constexpr milliseconds stop_time_max(1500); // of the 2 s that are allowed

std::atomic<bool> stopping = false;
int listener_fd = -1;
Cells& cells = *new Cells; // never deleted: a thread may outlive the time that the end may take

void end(Cell& cell) {
    // Counted before the peer can see the end, so a peer that has seen it finds it counted.
    Cell::add(cell.closed, stopping ? 0 : 1);
    cell.open = false;
    close(cell.fd);
}

void* serve_connection(void* argument) {
    Cell& cell = *static_cast<Cell*>(argument);
    echo_until_over(cell.fd, cell);
    end(cell);
    return nullptr;
}

// Starts a detached thread, whose memory is freed at its end. false: there is no room for it.
bool start_thread(void* (*body)(void*), void* argument) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, body, argument);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

void open(Cell& cell) {
    Cell::add(cell.accepted, 1);
    cell.open = true;
    if (!start_thread(serve_connection, &cell)) {
        end(cell); // this peer is refused, the others are served on
    }
}

void accept_until_stopped() {
    while (!stopping) {
        const Accept accept = accept_connection(listener_fd, 0);
        if (accept.result == Accepted::connection) {
            open(cells.at(accept.fd));
        } else if (accept.result == Accepted::no_room) {
            std::this_thread::sleep_for(milliseconds(rest_ms));
        } else if (accept.result == Accepted::failed && !stopping) {
            throw Fault(exit_runtime, std::string("accept: ") + std::strerror(errno));
        }
    }
}

void* obey_signals(void*) {
    while (wait_for_signal() == Asked::counters) {
        print(cells.sum());
    }
    stopping = true;
    shutdown(listener_fd, SHUT_RD); // a flag alone would be missed by an accept about to block
    return nullptr;
}

Counters serve(const Options& options) {
    const Listener listener(options, 0);
    listener_fd = listener.fd();
    if (!start_thread(obey_signals, nullptr)) {
        throw Fault(exit_runtime, "no room for the thread that waits for signals");
    }
    accept_until_stopped();
    // Nothing is opened any more, so no other connection gets a number that a thread closes now.
    cells.for_open([](Cell& cell) { shutdown(cell.fd, SHUT_RDWR); });
    const auto deadline = std::chrono::steady_clock::now() + stop_time_max;
    while (cells.for_open([](Cell&) {}) > 0 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(milliseconds(1));
    }
    return cells.sum();
}

} // namespace

int main(int argc, char**) {
    return c10k::run_server(argc, serve);
}
