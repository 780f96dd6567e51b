// One connection: a cache line, because at 10,000 connections each echo starts with a miss on it.
#pragma once

#include <cstdint>

#include "clock.hpp"

namespace c10k {

inline constexpr std::uint32_t kHello_bytes = 64;
inline constexpr std::uint32_t kNoSlot = 0xffff'ffff;

enum class State : std::uint8_t {
    requested,    // waits for its turn to call connect
    connecting,   // connect is in progress
    hello,        // connected; the first echo proves that the server serves it
    established,  // the hello came back verified
    gone,         // closed, lost or failed; the number is never used again
    // Churn, see churn.cpp:
    calling,   // connect is in progress
    awaiting,  // the message is sent, or on its way
    pausing,   // waits for its next try
};

// Whether churn makes and ends this connection.
constexpr bool churns(State state) noexcept { return state > State::gone; }

// Rule: reply position <= send position <= due_sequence. A position is (sequence, offset): whole
// messages done, and bytes of the next one.
struct alignas(64) Connection {
    std::uint64_t key = 0;             // of the message stream, see pattern.hpp
    std::uint64_t send_sequence = 0;   // the next message to send, or the one partly sent
    std::uint64_t reply_sequence = 0;  // the next message to come back, or the one partly back
    std::uint64_t due_sequence = 0;    // messages below this one are to be sent
    Nanoseconds since = 0;             // connect was called, then: the hello was sent
    std::uint32_t send_offset = 0;
    std::uint32_t reply_offset = 0;
    std::uint32_t payload_bytes = 0;
    std::uint32_t slot = kNoSlot;  // place among the active connections
    std::int32_t fd = -1;
    State state = State::requested;
    bool blocked = false;  // the socket's buffer is full: waiting for EPOLLOUT
    bool stamped = false;  // the kernel stamps what arrives

    std::uint64_t outstanding() const noexcept { return due_sequence - reply_sequence; }
    std::uint64_t unsent() const noexcept { return due_sequence - send_sequence; }

    void begin_stream(std::uint64_t stream_key, std::uint32_t bytes) noexcept {
        key = stream_key;
        payload_bytes = bytes;
        send_sequence = reply_sequence = due_sequence = 0;
        send_offset = reply_offset = 0;
    }
};
static_assert(sizeof(Connection) == 64);

}  // namespace c10k
