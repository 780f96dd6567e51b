// Clocks. Every time in the engine is a signed 64-bit count of nanoseconds of CLOCK_MONOTONIC, so
// differences with future times (window edges, intended sends) may be negative.
#pragma once

#include <cstdint>
#include <ctime>
#include <limits>

namespace c10k {

using Nanoseconds = std::int64_t;

inline constexpr Nanoseconds kNever = std::numeric_limits<Nanoseconds>::max();
inline constexpr Nanoseconds kSecond = 1'000'000'000;
inline constexpr Nanoseconds kMillisecond = 1'000'000;

inline Nanoseconds nanoseconds(const timespec& time) noexcept {
    return static_cast<Nanoseconds>(time.tv_sec) * kSecond + time.tv_nsec;
}

inline Nanoseconds read_clock(clockid_t clock) noexcept {
    timespec time{};
    ::clock_gettime(clock, &time);
    return nanoseconds(time);
}

// A vDSO read costs about 20 ns where an echo costs 6,000: cheap enough to read the clock after
// each recv and before each send instead of once per wake-up. A batch of 512 events takes
// milliseconds, so one stamp per batch would shift every latency in it by up to that much.
inline Nanoseconds monotonic_ns() noexcept { return read_clock(CLOCK_MONOTONIC); }

inline Nanoseconds thread_cpu_ns() noexcept { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace c10k
