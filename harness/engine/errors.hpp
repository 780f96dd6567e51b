// Errors by name and number of times: "connect ECONNREFUSED", "read ECONNRESET", "eof", …
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "counter.hpp"

namespace c10k {

// Where an error happened. hello: connected, but the first echo has not come back yet.
enum class Stage : std::uint8_t { socket, bind, connect, hello, read, write, stamps };
inline constexpr std::size_t kStages = 7;

using NamedCounts = std::vector<std::pair<std::string, std::uint64_t>>;

// A fixed table, so that counting an error never allocates and readers need no lock.
class Errors {
public:
    static constexpr int kEof = 0;        // in place of an errno: the peer closed
    static constexpr int kCorrupt = 134;  // in place of an errno: wrong or extra bytes
    // Linux's highest errno is EHWPOISON, 133; one cell more for what is not an errno.
    static constexpr std::size_t kCodes = 135;

    using Table = std::array<std::uint64_t, kStages * kCodes + 1>;

    void add(Stage stage, int code) noexcept;
    void add_over_range() noexcept { counters_.back().add(1); }  // a latency above 60 s
    Table copy() const noexcept;
    static NamedCounts named(const Table& table);

private:
    std::array<Counter, kStages * kCodes + 1> counters_{};
};

}  // namespace c10k
