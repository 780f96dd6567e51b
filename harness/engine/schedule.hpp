// When messages are due, as arithmetic: no clock, no socket.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "clock.hpp"

namespace c10k {

// Closed loop: when each outstanding message was issued. A ring of `depth` times per active
// connection, allocated once per cell.
class SendTimes {
public:
    void reset(std::size_t connections, std::uint32_t depth) {
        const std::uint32_t ring = std::bit_ceil(depth);  // so that the remainder is a mask
        mask_ = ring - 1;
        times_.assign(connections * ring, 0);
    }

    Nanoseconds& at(std::uint32_t slot, std::uint64_t sequence) noexcept {
        return times_[slot * (std::size_t{mask_} + 1) + (sequence & mask_)];
    }

private:
    std::vector<Nanoseconds> times_;
    std::uint32_t mask_ = 0;
};

// Open loop at a fixed total rate. Message j of the connection in slot i of n is intended at
// base + (i + j*n) * step. In order of time, the messages go round the slots. So one counter gives
// the next due message, and a long stall queues nothing.
class OpenLoop {
public:
    OpenLoop() = default;
    OpenLoop(Nanoseconds base, double rate_per_s, std::size_t connections)
        : base_(base),
          step_(static_cast<double>(kSecond) / rate_per_s),
          connections_(connections) {}

    Nanoseconds intended(std::uint64_t message) const noexcept {
        // 53 bits of mantissa hold the nanoseconds of 104 days exactly.
        return base_ + static_cast<Nanoseconds>(static_cast<double>(message) * step_);
    }

    Nanoseconds intended(std::uint32_t slot, std::uint64_t sequence) const noexcept {
        return intended(sequence * connections_ + slot);
    }

    // How many messages are intended before `time`.
    std::uint64_t due_before(Nanoseconds time) const noexcept {
        if (time <= base_) return 0;
        auto count = static_cast<std::uint64_t>(static_cast<double>(time - base_) / step_);
        while (intended(count) < time) ++count;
        while (count > 0 && intended(count - 1) >= time) --count;
        return count;
    }

private:
    Nanoseconds base_ = 0;
    double step_ = 0.0;
    std::size_t connections_ = 1;
};

// How many of the messages intended in [start, end) had not been sent at `end`, when `issued`
// messages had been handed to their connections and `unsent` of those still waited there.
inline std::uint64_t missed_sends(const OpenLoop& schedule, Nanoseconds start, Nanoseconds end,
                                  std::uint64_t issued, std::uint64_t unsent) noexcept {
    const std::uint64_t due = schedule.due_before(end);
    const std::uint64_t missed = (due > issued ? due - issued : 0) + unsent;
    return std::min(missed, due - schedule.due_before(start));
}

}  // namespace c10k
