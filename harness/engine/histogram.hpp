// Log-linear histogram in the layout of HdrHistogram: lowest 1 us, highest 60 s, 3 digits.
//
// The engine thread records into a Histogram, and any thread may read it. Counts is a copy of it,
// to subtract, to ask for percentiles and to encode in the standard V2 payload
// (HdrHistogramEncodingAndCompression.md of the HdrHistogram project; hdr_histogram_log.c).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "clock.hpp"
#include "counter.hpp"

namespace c10k {

namespace hdr {

inline constexpr std::int64_t kLowest_us = 1;
inline constexpr std::int64_t kHighest_us = 60'000'000;
inline constexpr std::uint32_t kDigits = 3;
// 2 * 10^3 values need single-unit resolution; the next power of two is 2^11.
inline constexpr unsigned kHalfMagnitude = 10;
inline constexpr std::size_t kHalfCount = std::size_t{1} << kHalfMagnitude;
inline constexpr unsigned kBuckets = 16;  // 2048 << 15 is the first power above 60,000,000
inline constexpr std::size_t kCells = (kBuckets + 1) * kHalfCount;
static_assert((std::int64_t{2 * kHalfCount} << (kBuckets - 1)) > kHighest_us);
static_assert((std::int64_t{2 * kHalfCount} << (kBuckets - 2)) <= kHighest_us);

constexpr std::size_t cell_of(std::uint64_t value_us) noexcept {
    const auto width = static_cast<unsigned>(std::bit_width(value_us | (2 * kHalfCount - 1)));
    const unsigned bucket = width - (kHalfMagnitude + 1);
    return bucket * kHalfCount + static_cast<std::size_t>(value_us >> bucket);
}

// The highest value that shares the cell, which is what HdrHistogram reports for a percentile.
constexpr std::uint64_t highest_us_of(std::size_t cell) noexcept {
    if (cell < 2 * kHalfCount) return cell;
    const auto bucket = static_cast<unsigned>(cell / kHalfCount) - 1;
    const std::uint64_t sub = cell % kHalfCount + kHalfCount;
    return ((sub + 1) << bucket) - 1;
}

}  // namespace hdr

class Counts {
public:
    std::uint64_t& operator[](std::size_t cell) noexcept { return cells_[cell]; }
    void subtract(const Counts& earlier) noexcept;
    std::uint64_t total() const noexcept;
    // Value at the quantile in (0, 1], in us; 0 when nothing was recorded.
    std::uint64_t percentile_us(double quantile) const noexcept;
    std::string encode() const;

private:
    std::vector<std::uint64_t> cells_ = std::vector<std::uint64_t>(hdr::kCells);
};

class Histogram {
public:
    // Records `count` equal durations. False if they lie above the range: they are counted in its
    // last cell, and the caller must report that.
    bool record(Nanoseconds duration, std::uint64_t count = 1) noexcept {
        constexpr std::uint64_t kRound = 500;
        const auto exact = static_cast<std::uint64_t>(duration > 0 ? duration : 0);
        std::uint64_t value_us = (exact + kRound) / 1000;
        // 0 is below the lowest value that the layout distinguishes.
        if (value_us == 0) value_us = hdr::kLowest_us;
        const bool in_range = value_us <= static_cast<std::uint64_t>(hdr::kHighest_us);
        if (!in_range) value_us = hdr::kHighest_us;
        cells_[hdr::cell_of(value_us)].add(count);
        return in_range;
    }

    void reset() noexcept {
        for (Counter& cell : cells_) cell.set(0);
    }

    void copy_to(Counts& counts) const noexcept {
        for (std::size_t cell = 0; cell < hdr::kCells; ++cell) counts[cell] = cells_[cell].get();
    }

    Counts copy() const {
        Counts counts;
        copy_to(counts);
        return counts;
    }

private:
    std::array<Counter, hdr::kCells> cells_{};
};

}  // namespace c10k
