// One echoed connection of a thread, or of a process, that serves no other connection meanwhile.
//
// Its state is the call that it sleeps in. A peer that does not read blocks the send, so nothing
// more is read and nothing is kept but one buffer.
#pragma once

#include "server.hpp"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace c10k {

// Counters with one writer, which other threads may read at any time. A plain load and a plain
// store suffice; no instruction is locked. Each set has its own cache line, so that two processors
// do not share one.
struct alignas(64) Tally {
    std::atomic<std::uint64_t> accepted = 0, closed = 0, bytes_in = 0, bytes_out = 0;

    static void add(std::atomic<std::uint64_t>& to, std::uint64_t n) {
        to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }

    void add_to(Counters& sum) const {
        sum.accepted += accepted;
        sum.closed += closed;
        sum.bytes_in += bytes_in;
        sum.bytes_out += bytes_out;
    }
};

// false: the connection is broken.
inline bool send_all(int fd, const char* bytes, std::size_t size, Tally& tally) {
    for (std::size_t done = 0; done < size;) {
        // Without MSG_NOSIGNAL the second send to a closed peer would raise SIGPIPE.
        const ssize_t sent = send(fd, bytes + done, size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return false;
        }
        if (sent > 0) {
            done += static_cast<std::size_t>(sent);
            Tally::add(tally.bytes_out, static_cast<std::uint64_t>(sent));
        }
    }
    return true;
}

// Returns when the peer has finished and has everything, or when the connection fails or is shut
// down. Needs a stack of 24 KiB: the buffer, and libc's frames.
inline void echo_until_over(int fd, Tally& tally) {
    char buffer[buffer_bytes];
    for (;;) {
        const ssize_t received = recv(fd, buffer, sizeof buffer, 0);
        if (received < 0 && errno == EINTR) {
            continue;
        }
        if (received <= 0) {
            return;
        }
        Tally::add(tally.bytes_in, static_cast<std::uint64_t>(received));
        if (!send_all(fd, buffer, static_cast<std::size_t>(received), tally)) {
            return;
        }
    }
}

} // namespace c10k
