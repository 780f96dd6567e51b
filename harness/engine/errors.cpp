#include "errors.hpp"

#include <cstring>
#include <string_view>

namespace c10k {

namespace {

constexpr std::array<std::string_view, kStages> kStageNames = {
    "socket", "bind", "connect", "hello", "read", "write", "stamps"};

std::string code_name(int code) {
    if (code == Errors::kEof) return "eof";
    if (code == Errors::kCorrupt) return "corrupt";
    const char* const name = ::strerrorname_np(code);
    return name != nullptr ? name : "errno " + std::to_string(code);
}

std::string name_of(std::size_t cell) {
    const auto code = static_cast<int>(cell % Errors::kCodes);
    const auto stage = static_cast<Stage>(cell / Errors::kCodes);
    // The two most common errors have a plain name, for reads and writes alike.
    if (code == Errors::kCorrupt || (code == Errors::kEof && stage != Stage::hello)) {
        return code_name(code);
    }
    return std::string(kStageNames[static_cast<std::size_t>(stage)]) + " " + code_name(code);
}

}  // namespace

void Errors::add(Stage stage, int code) noexcept {
    const auto row = static_cast<std::size_t>(stage) * kCodes;
    const auto column = static_cast<std::size_t>(code);
    counters_[row + (column < kCodes ? column : kCodes - 2)].add(1);
}

Errors::Table Errors::copy() const noexcept {
    Table table{};
    for (std::size_t cell = 0; cell < table.size(); ++cell) table[cell] = counters_[cell].get();
    return table;
}

NamedCounts Errors::named(const Table& table) {
    NamedCounts names;
    const auto add = [&names](const std::string& name, std::uint64_t count) {
        for (auto& [known, total] : names) {
            if (known == name) {
                total += count;
                return;
            }
        }
        names.emplace_back(name, count);
    };
    for (std::size_t cell = 0; cell + 1 < table.size(); ++cell) {
        if (table[cell] != 0) add(name_of(cell), table[cell]);
    }
    if (table.back() != 0) add("latency over 60 s", table.back());
    return names;
}

}  // namespace c10k
