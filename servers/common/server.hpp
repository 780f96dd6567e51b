// The part of a server that does not depend on its mechanism: options, limits, signals, last line.
#pragma once

#include "options.hpp"

#include <cstddef>
#include <cstdint>

namespace c10k {

// One read per wake-up takes at most this much: the same for every variant.
inline constexpr std::size_t buffer_bytes = 16 * 1024;

// How long a listener rests when there is no room for another connection and none of ours closes.
// The whole system may lack room, so waiting only for our own close might never end.
inline constexpr int rest_ms = 100;

// Plain integers, owned by one thread: keeping them costs an addition.
struct Counters {
    std::uint64_t accepted = 0;  // connections taken from the kernel, refused ones included
    std::uint64_t closed = 0;    // of these, ended before the signal that ended the server
    std::uint64_t bytes_in = 0;  // bytes read from sockets
    std::uint64_t bytes_out = 0; // bytes that sockets took
    std::uint64_t waits = 0;     // calls that only wait
    std::uint64_t events = 0;    // descriptors that these calls reported

    Counters& operator+=(const Counters& other);
};

enum class Asked {
    nothing,  // no signal has come
    counters, // SIGUSR1: print them, and go on
    stop,     // SIGTERM or SIGINT
};

// These signals are blocked from the first line on, in all threads, so none is lost before a
// mechanism is ready for it, and none interrupts a call. An event loop reads them from a
// descriptor, like any other input, until it is empty; a server that blocks elsewhere has a thread
// that waits for them.
int open_signal_descriptor();      // throws Fault
Asked read_signal(int descriptor); // throws Fault
Asked wait_for_signal();

// One JSON line on stderr, in one write.
void print(const Counters& counters);

// The body of main: takes no arguments, reads the environment, raises the soft limit of open files
// to the hard one, runs `serve` until a signal ends it, and prints its counters. Returns the exit
// code; a Fault is one line on stderr.
int run_server(int argc, Counters (*serve)(const Options&));

} // namespace c10k
