// The hot path: what happens between a reply and the next message.
#include <algorithm>
#include <cerrno>

#include "loop.hpp"
#include "socket_io.hpp"

namespace c10k {

void Loop::on_traffic(Connection& connection, std::uint32_t events) {
    if (connection.blocked && (events & EPOLLOUT) != 0) {
        tick();
        flush(connection);
        if (connection.state == State::gone) return;
    }
    if ((events & ~std::uint32_t{EPOLLOUT}) == 0) return;
    const bool ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    const std::uint64_t completed = receive(connection, ending);
    if (completed == 0 || connection.slot == kNoSlot) return;
    if (!cell_.running || cell_.open_loop) return;
    const Nanoseconds read_at = now_;
    if (!figures_.send_lag.record(tick() - read_at, completed)) figures_.errors.add_over_range();
    issue(connection, completed);
}

// Reads and checks what has arrived; returns how many messages that completed. The connection may
// be gone afterwards.
//
// Edge-triggered: a read that does not fill the buffer has emptied the socket, and later data is a
// new edge (epoll(7), "Possible pitfalls"). `to_the_end`: epoll has reported the peer's FIN or RST
// and will not report it again, so read until it appears.
std::uint64_t Loop::receive(Connection& connection, bool to_the_end) {
    std::uint64_t completed_all = 0;
    while (true) {
        const ssize_t size =
            cell_.traffic.stamps
                ? read_stamped(connection.fd)
                : socket_io::receive(connection.fd, buffer_.data(), buffer_.size());
        const int error = size < 0 ? errno : Errors::kEof;
        tick();
        if (size <= 0) {
            if (error != EAGAIN) lose(connection, error);
            return completed_all;
        }
        const auto bytes = static_cast<std::size_t>(size);
        figures_.bytes_received.add(bytes);
        std::uint64_t completed = 0;
        const bool right = verify(connection, bytes, completed);
        settle(connection, completed);
        completed_all += completed;
        if (!right) {
            lose(connection, Errors::kCorrupt);
            return completed_all;
        }
        if (bytes < buffer_.size() && !to_the_end) return completed_all;
    }
}

// Compares the first `size` bytes of the buffer with the bytes that this connection expects next.
// False if a byte is wrong, or if there are more bytes than were sent.
bool Loop::verify(Connection& connection, std::size_t size, std::uint64_t& completed) {
    const std::uint8_t* data = buffer_.data();
    while (size > 0) {
        const bool partly_sent = connection.reply_sequence == connection.send_sequence;
        const auto sent = partly_sent ? connection.send_offset : connection.payload_bytes;
        const std::size_t take = std::min<std::size_t>(size, sent - connection.reply_offset);
        const auto header = pattern::header(connection.key, connection.reply_sequence);
        const auto offset = connection.reply_offset;
        if (take == 0) {
            figures_.corrupt_bytes.add(size);
            return false;
        }
        if (!pattern::matches(table_, header, offset, data, take)) {
            figures_.corrupt_bytes.add(pattern::count_wrong(table_, header, offset, data, take));
            return false;
        }
        if (connection.slot != kNoSlot) figures_.bytes.add(take);
        data += take;
        size -= take;
        connection.reply_offset += static_cast<std::uint32_t>(take);
        if (connection.reply_offset < connection.payload_bytes) continue;
        connection.reply_offset = 0;
        ++connection.reply_sequence;
        ++completed;
    }
    return true;
}

// Books `completed` replies that are in at now_.
void Loop::settle(Connection& connection, std::uint64_t completed) {
    if (completed == 0) return;
    if (connection.state == State::hello) {
        on_hello_answered(connection);
        return;
    }
    const std::uint64_t end = connection.reply_sequence;
    for (std::uint64_t sequence = end - completed; sequence < end; ++sequence) {
        const Nanoseconds from = cell_.open_loop
                                     ? cell_.schedule.intended(connection.slot, sequence)
                                     : cell_.sent.at(connection.slot, sequence);
        const Nanoseconds latency = now_ - from;
        if (!figures_.latency.record(latency)) figures_.errors.add_over_range();
        latency_sum_ += latency;
        latency_max_ = std::max(latency_max_, latency);
    }
    figures_.echoes.add(completed);
    change_outstanding(-static_cast<std::int64_t>(completed));
}

// Makes `count` more messages due at now_ and sends what the socket takes.
void Loop::issue(Connection& connection, std::uint64_t count) {
    if (!cell_.open_loop) {
        const std::uint64_t end = connection.due_sequence + count;
        for (std::uint64_t sequence = connection.due_sequence; sequence < end; ++sequence) {
            cell_.sent.at(connection.slot, sequence) = now_;
        }
    }
    connection.due_sequence += count;
    cell_.unsent += count;
    change_outstanding(static_cast<std::int64_t>(count));
    if (!connection.blocked) flush(connection);
}

void Loop::flush(Connection& connection) {
    const auto wait_for = [&](std::uint32_t events) {
        poller_.modify(connection.fd, EPOLLIN | EPOLLRDHUP | EPOLLET | events,
                       number_of(connection));
        connection.blocked = events != 0;
    };
    while (connection.unsent() > 0) {
        outbox_.clear();
        std::size_t offset = connection.send_offset;
        std::uint64_t sequence = connection.send_sequence;
        for (; sequence < connection.due_sequence && !outbox_.full(); ++sequence, offset = 0) {
            outbox_.add(table_, pattern::header(connection.key, sequence), offset,
                        connection.payload_bytes - offset);
        }
        ++sends_;
        const ssize_t sent = outbox_.send(connection.fd);
        if (sent < 0 && errno != EAGAIN) {
            lose(connection, errno, Stage::write);
            return;
        }
        if (sent > 0) advance(connection, static_cast<std::size_t>(sent));
        if (sent < static_cast<ssize_t>(outbox_.bytes())) {
            if (!connection.blocked) wait_for(EPOLLOUT);
            return;
        }
    }
    if (connection.blocked) wait_for(0);
}

void Loop::advance(Connection& connection, std::size_t sent) {
    const bool of_cell = connection.slot != kNoSlot;
    figures_.bytes_sent.add(sent);
    while (sent > 0) {
        if (of_cell && cell_.open_loop && connection.send_offset == 0) {
            const auto due = cell_.schedule.intended(connection.slot, connection.send_sequence);
            if (!figures_.send_lag.record(now_ - due)) figures_.errors.add_over_range();
        }
        const std::size_t left = connection.payload_bytes - connection.send_offset;
        if (sent < left) {
            connection.send_offset += static_cast<std::uint32_t>(sent);
            return;
        }
        sent -= left;
        connection.send_offset = 0;
        ++connection.send_sequence;
        if (of_cell) --cell_.unsent;
    }
}

// Keeps the integral of outstanding messages over time, to check Little's law.
void Loop::change_outstanding(std::int64_t change) noexcept {
    outstanding_time_ += outstanding_ * (now_ - outstanding_since_);
    outstanding_since_ = now_;
    outstanding_ += change;
    figures_.outstanding.set(static_cast<std::uint64_t>(outstanding_));
}

}  // namespace c10k
