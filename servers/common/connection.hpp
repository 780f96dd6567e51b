// One echoed connection of an event loop: what it still owes its peer, and how it gets on.
//
// Rule 1: bytes that the peer has not taken yet stop the reading, so a connection never owes more
//         than one buffer, and a peer that does not read is held back by TCP itself.
// Rule 2: the buffer exists only while something is owed: an idle connection is these few bytes.
// Rule 3: an event is a hint. Only recv and send decide, so a stale or spurious wake-up costs one
//         EAGAIN and never a wrong byte.
#pragma once

#include "server.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace c10k {

enum class Progress {
    more,    // went well, and nothing said that the socket is empty
    drained, // the socket has nothing to read
    blocked, // the socket takes no more output, some is owed
    over,    // the peer has finished and has everything, or the connection failed
};

class Connection {
public:
    // One turn: sends what is owed, or else reads once and echoes it. Never blocks, never throws.
    Progress turn(int fd, std::span<std::byte> buffer, Counters& counters);

private:
    Progress flush(int fd, Counters& counters);
    Progress owe(std::span<const std::byte> bytes);

    std::unique_ptr<std::byte[]> owed_;
    std::uint32_t owed_bytes_ = 0;
    std::uint32_t sent_bytes_ = 0; // of what is owed
};

// The bytes that the socket took, 0 when it is full, -1 when the connection is broken.
inline ssize_t send_some(int fd, std::span<const std::byte> bytes, Counters& counters) {
    // Without MSG_NOSIGNAL the second send to a closed peer would raise SIGPIPE.
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    counters.bytes_out += static_cast<std::uint64_t>(sent);
    return sent;
}

inline Progress Connection::turn(int fd, std::span<std::byte> buffer, Counters& counters) {
    if (owed_) {
        return flush(fd, counters);
    }
    const ssize_t received = recv(fd, buffer.data(), buffer.size(), 0);
    if (received < 0) {
        if (errno == EINTR) {
            return Progress::more;
        }
        return errno == EAGAIN ? Progress::drained : Progress::over;
    }
    if (received == 0) {
        return Progress::over; // reading goes on only when nothing is owed: all was echoed
    }
    counters.bytes_in += static_cast<std::uint64_t>(received);
    const auto bytes = buffer.first(static_cast<std::size_t>(received));
    const ssize_t sent = send_some(fd, bytes, counters);
    if (sent < 0) {
        return Progress::over;
    }
    return sent == received ? Progress::more : owe(bytes.subspan(static_cast<std::size_t>(sent)));
}

inline Progress Connection::flush(int fd, Counters& counters) {
    const std::span<const std::byte> owed(owed_.get() + sent_bytes_, owed_bytes_ - sent_bytes_);
    const ssize_t sent = send_some(fd, owed, counters);
    if (sent < 0) {
        return Progress::over;
    }
    sent_bytes_ += static_cast<std::uint32_t>(sent);
    if (sent_bytes_ < owed_bytes_) {
        return Progress::blocked;
    }
    owed_.reset();
    return Progress::more;
}

inline Progress Connection::owe(std::span<const std::byte> bytes) {
    owed_.reset(new (std::nothrow) std::byte[bytes.size()]);
    if (!owed_) {
        return Progress::over; // no memory for this peer: the others are served on
    }
    std::copy(bytes.begin(), bytes.end(), owed_.get());
    owed_bytes_ = static_cast<std::uint32_t>(bytes.size());
    sent_bytes_ = 0;
    return Progress::blocked;
}

} // namespace c10k
