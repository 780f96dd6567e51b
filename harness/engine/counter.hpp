// A counter with one writer and any number of readers.
//
// The engine thread writes; Python's threads read at any time without a lock. A relaxed load and a
// relaxed store compile to plain moves (no lock prefix). So a counter costs as much as a plain
// integer and is free of data races.
#pragma once

#include <atomic>
#include <cstdint>

namespace c10k {

class Counter {
public:
    void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    void add(std::uint64_t amount) noexcept { set(get() + amount); }
    void subtract(std::uint64_t amount) noexcept { set(get() - amount); }
    std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

}  // namespace c10k
