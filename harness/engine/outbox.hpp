// Collects the bytes of due messages for one call of send or sendmsg.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pattern.hpp"
#include "socket_io.hpp"

namespace c10k {

class Outbox {
public:
    Outbox() : copied_(kCopied_bytes) {}

    void clear() noexcept { pieces_used_ = copied_used_ = bytes_ = 0; }
    bool full() const noexcept {
        return pieces_used_ + 2 > kPieces || copied_used_ + kCopyMax_bytes > kCopied_bytes;
    }
    std::size_t bytes() const noexcept { return bytes_; }

    // Appends bytes [offset, offset + size) of a message. Short ones are copied together into one
    // buffer; of long ones only the header is, and the rest is sent straight from the table.
    void add(const std::uint8_t* table, std::uint64_t header, std::size_t offset,
             std::size_t size) noexcept {
        std::size_t copied = size;
        if (size > kCopyMax_bytes) {
            copied = offset < pattern::kHeader_bytes ? pattern::kHeader_bytes - offset : 0;
        }
        if (copied > 0) {
            std::uint8_t* const place = copied_.data() + copied_used_;
            pattern::write(table, header, offset, place, copied);
            copied_used_ += copied;
            append(place, copied);
        }
        if (copied == size) return;
        append(pattern::slice(table, header) + offset + copied, size - copied);
    }

    // As send(2).
    ssize_t send(int fd) noexcept {
        if (pieces_used_ == 1) {
            return socket_io::send(fd, pieces_[0].iov_base, pieces_[0].iov_len);
        }
        msghdr message{};
        message.msg_iov = pieces_.data();
        message.msg_iovlen = pieces_used_;
        return socket_io::send(fd, message);
    }

private:
    static constexpr std::size_t kPieces = 64;
    static constexpr std::size_t kCopied_bytes = 64 * 1024;
    // Above about this size a second iovec costs less than copying.
    static constexpr std::size_t kCopyMax_bytes = 1024;

    void append(const std::uint8_t* data, std::size_t size) noexcept {
        bytes_ += size;
        if (pieces_used_ > 0) {
            iovec& last = pieces_[pieces_used_ - 1];
            if (static_cast<const std::uint8_t*>(last.iov_base) + last.iov_len == data) {
                last.iov_len += size;
                return;
            }
        }
        // sendmsg only reads; iovec has no const form.
        pieces_[pieces_used_++] = {const_cast<std::uint8_t*>(data), size};
    }

    std::array<iovec, kPieces> pieces_{};
    std::vector<std::uint8_t> copied_;
    std::size_t pieces_used_ = 0;
    std::size_t copied_used_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace c10k
