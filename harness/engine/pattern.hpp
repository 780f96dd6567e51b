// The bytes of a message are a pure function of (stream key, sequence, payload size). So the engine
// stores neither sent nor expected bytes, and it can check any piece of a reply.
//
// Rule 1: the first min(8, payload) bytes are a 64-bit mix of key and sequence, so a message that
//         is swapped, repeated or skipped differs from the expected one at once.
// Rule 2: the rest is a slice of one fixed random table at an offset taken from the same mix, so
//         checking a reply is one memcmp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace c10k {

inline constexpr std::size_t kPayloadMax_bytes = std::size_t{1} << 20;

// splitmix64's finaliser (Steele, Lea, Flood 2014): a bijection, so different inputs never collide.
constexpr std::uint64_t mix64(std::uint64_t value) noexcept {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

namespace pattern {

inline constexpr std::size_t kHeader_bytes = sizeof(std::uint64_t);
// 4,096 slices: the part of the table that small messages touch stays in the first-level cache.
inline constexpr std::size_t kSlices = 4096;

inline const std::uint8_t* table() {
    // Never freed: engine threads may outlive the destruction of static objects at exit.
    static const auto* const words = [] {
        auto* made = new std::vector<std::uint64_t>((kSlices + kPayloadMax_bytes) / 8);
        std::uint64_t state = 0x63'31'30'6b;  // any fixed number
        for (std::uint64_t& word : *made) word = mix64(++state);
        return made;
    }();
    return reinterpret_cast<const std::uint8_t*>(words->data());
}

constexpr std::uint64_t header(std::uint64_t key, std::uint64_t sequence) noexcept {
    return mix64(key ^ mix64(sequence));
}

// Where the slice starts so that byte `offset` of the message is slice[offset].
inline const std::uint8_t* slice(const std::uint8_t* table, std::uint64_t header) noexcept {
    return table + header % kSlices;
}

// Writes bytes [offset, offset + size) of the message.
inline void write(const std::uint8_t* table, std::uint64_t header, std::size_t offset,
                  std::uint8_t* out, std::size_t size) noexcept {
    std::memcpy(out, slice(table, header) + offset, size);
    if (offset >= kHeader_bytes) return;
    std::uint8_t bytes[kHeader_bytes];
    std::memcpy(bytes, &header, kHeader_bytes);
    const std::size_t left = kHeader_bytes - offset;
    std::memcpy(out, bytes + offset, left < size ? left : size);
}

// Byte `position` of the message.
inline std::uint8_t byte_at(const std::uint8_t* table, std::uint64_t header,
                            std::size_t position) noexcept {
    std::uint8_t byte = 0;
    write(table, header, position, &byte, 1);
    return byte;
}

// How many of the `size` bytes at `data` differ from bytes [offset, offset + size).
inline std::size_t count_wrong(const std::uint8_t* table, std::uint64_t header, std::size_t offset,
                               const std::uint8_t* data, std::size_t size) noexcept {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < size; ++i) {
        wrong += data[i] != byte_at(table, header, offset + i) ? 1 : 0;
    }
    return wrong;
}

// Whether the `size` bytes at `data` are bytes [offset, offset + size) of the message.
inline bool matches(const std::uint8_t* table, std::uint64_t header, std::size_t offset,
                    const std::uint8_t* data, std::size_t size) noexcept {
    std::size_t skip = 0;
    if (offset < kHeader_bytes) {
        std::uint8_t bytes[kHeader_bytes];
        std::memcpy(bytes, &header, kHeader_bytes);
        const std::size_t left = kHeader_bytes - offset;
        skip = left < size ? left : size;
        if (std::memcmp(data, bytes + offset, skip) != 0) return false;
    }
    return std::memcmp(data + skip, slice(table, header) + offset + skip, size - skip) == 0;
}

}  // namespace pattern

}  // namespace c10k
