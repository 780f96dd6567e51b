// A server in this process that only echoes, to check the load generator.
//
// One epoll thread. Its faults are options with exactly known effects, so the engine's reports can
// be compared with the truth. Without a fault it reads no clock and takes no decision.
#pragma once

#include <cstdint>
#include <queue>
#include <string>
#include <thread>
#include <vector>

#include "clock.hpp"
#include "counter.hpp"
#include "poller.hpp"

namespace c10k {

// The faults of the server; 0 or empty: none.
struct Faults {
    std::uint64_t corrupt_every_bytes = 0;     // flips a bit of every n-th byte that it echoes
    std::uint64_t drop_every_connections = 0;  // closes every n-th connection at its first bytes
    std::uint64_t delay_every_replies = 0;     // holds every n-th reply back for `delay`
    Nanoseconds delay = 0;
    std::vector<Nanoseconds> delays;  // holds each reply back: these in turn, again and again
    Nanoseconds stop_at = 0;          // pauses at this time …
    Nanoseconds stop_for = 0;         // … for this long

    bool any() const noexcept {
        return corrupt_every_bytes != 0 || drop_every_connections != 0 || replies() ||
               stop_for != 0;
    }
    bool replies() const noexcept { return delay_every_replies != 0 || !delays.empty(); }
};

class NullServer {
public:
    // Listens on a free port of 127.0.0.1. std::invalid_argument if the CPU is invalid,
    // std::system_error if the kernel gives no socket.
    NullServer(Faults faults, int cpu);
    ~NullServer();
    NullServer(const NullServer&) = delete;
    NullServer& operator=(const NullServer&) = delete;

    const std::string& address() const noexcept { return address_; }
    void shutdown();

    // Counters of its work.
    Counter accepted, dropped, corrupted, delayed, echoed_bytes;

private:
    struct Peer {
        std::string unsent;        // what the socket did not take
        std::uint64_t number = 0;  // an earlier connection with its descriptor has another
        Nanoseconds due = 0;       // of the last reply held back: those after it stay behind it
        bool is_open = false;
        bool is_doomed = false;  // to be dropped
    };
    struct Held {
        Nanoseconds due;
        std::uint64_t order;
        int fd;
        std::uint64_t peer;
        std::string bytes;
        bool operator<(const Held& other) const noexcept {  // the earliest is on top of the queue
            return due != other.due ? due > other.due : order > other.order;
        }
    };

    void run();
    Nanoseconds timeout() const noexcept;
    void keep_time();
    void accept_all();
    void serve(int fd, std::uint32_t events);
    void answer(int fd, char* data, std::size_t size);
    void corrupt(char* data, std::size_t size);
    Nanoseconds next_delay();
    void hold(int fd, std::string bytes, Nanoseconds due);
    void send(int fd, const char* data, std::size_t size);
    void drop(int fd);

    Faults faults_;
    const bool is_faulty_;
    int listener_ = -1;
    int wake_ = -1;
    std::string address_;
    Poller poller_;
    std::vector<Peer> peers_;  // by descriptor
    std::vector<char> buffer_;
    std::priority_queue<Held> held_;
    std::uint64_t replies_ = 0;
    std::uint64_t orders_ = 0;
    bool quit_ = false;
    std::thread thread_;
};

}  // namespace c10k
