#include "histogram.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <numeric>

namespace c10k {

namespace {

constexpr std::uint32_t kCookieV2 = 0x1c849303 | 0x10;  // 0x10: counts are LEB128 words

template <std::unsigned_integral Word>
void put_big_endian(std::string& out, Word word) {
    for (unsigned shift = 8 * sizeof(Word); shift > 0; shift -= 8) {
        out.push_back(static_cast<char>(word >> (shift - 8)));
    }
}

void put_zigzag_leb128(std::string& out, std::int64_t value) {
    auto rest = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
    while (rest >= 0x80) {
        out.push_back(static_cast<char>((rest & 0x7f) | 0x80));
        rest >>= 7;
    }
    out.push_back(static_cast<char>(rest));
}

// A run of empty cells is one negative number.
std::string encode_cells(const std::vector<std::uint64_t>& cells) {
    const auto last = std::find_if(cells.rbegin(), cells.rend(), [](auto n) { return n != 0; });
    const auto used = static_cast<std::size_t>(cells.rend() - last);
    std::string out;
    for (std::size_t cell = 0; cell < used;) {
        if (cells[cell] != 0) {
            put_zigzag_leb128(out, static_cast<std::int64_t>(cells[cell++]));
            continue;
        }
        std::int64_t zeros = 0;
        for (; cells[cell] == 0; ++cell) ++zeros;
        put_zigzag_leb128(out, -zeros);
    }
    return out;
}

}  // namespace

void Counts::subtract(const Counts& earlier) noexcept {
    for (std::size_t cell = 0; cell < hdr::kCells; ++cell) cells_[cell] -= earlier.cells_[cell];
}

std::uint64_t Counts::total() const noexcept {
    return std::accumulate(cells_.begin(), cells_.end(), std::uint64_t{0});
}

std::uint64_t Counts::percentile_us(double quantile) const noexcept {
    const auto rank = std::llround(quantile * static_cast<double>(total()));
    const auto wanted = static_cast<std::uint64_t>(std::max<long long>(1, rank));
    std::uint64_t seen = 0;
    for (std::size_t cell = 0; cell < hdr::kCells; ++cell) {
        seen += cells_[cell];
        if (seen >= wanted) return hdr::highest_us_of(cell);
    }
    return 0;
}

std::string Counts::encode() const {
    const std::string cells = encode_cells(cells_);
    std::string out;
    put_big_endian(out, kCookieV2);
    put_big_endian(out, static_cast<std::uint32_t>(cells.size()));
    put_big_endian(out, std::uint32_t{0});  // normalizing index offset
    put_big_endian(out, hdr::kDigits);
    put_big_endian(out, static_cast<std::uint64_t>(hdr::kLowest_us));
    put_big_endian(out, static_cast<std::uint64_t>(hdr::kHighest_us));
    put_big_endian(out, std::bit_cast<std::uint64_t>(1.0));  // value conversion ratio
    return out + cells;
}

}  // namespace c10k
