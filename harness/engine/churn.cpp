// Churn: cycles of connect, one message, its verified echo and close, in a closed loop.
//
// The first cycle replaces an active connection; the connection of the last cycle stays open. So a
// cell of churn takes over the connections of its step and leaves as many behind.
//
// Rule 1: a latency counts from the call of connect to the last byte of the echo. It contains the
//         handshake, the accept and the echo, but not the engine's own close and socket.
// Rule 2: a cycle that fails is counted, with its error, and its connection tries again.
// Rule 3: as in traffic.cpp, nothing allocates, except when a server refuses or ends a connection.
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>

#include "loop.hpp"

namespace c10k {

void Loop::begin_churn() {
    for (int i = 0; i < kConnectsPerLoop && cell_.issued < active_.size(); ++i) {
        Connection& connection = connections_[active_[cell_.issued++]];
        if (connection.slot == kNoSlot) continue;
        figures_.established.subtract(1);
        begin_cycle(connection);
    }
}

void Loop::begin_cycle(Connection& connection) {
    hang_up(connection);
    const auto& sources = settings_.cycle_sources;
    const Address* source = sources.empty() ? nullptr : &sources[cycles_begun_ % sources.size()];
    ++cycles_begun_;
    const Trouble trouble = prepare_socket(connection, source);
    connection.since = tick();
    ++connection.due_sequence;
    cell_.sent.at(connection.slot, connection.send_sequence) = now_;
    ++cell_.unsent;
    change_outstanding(1);
    if (trouble.code != 0) {
        fail_cycle(connection, trouble.stage, trouble.code);
        return;
    }
    try_cycle(connection);
}

void Loop::try_cycle(Connection& connection) {
    connection.state = State::calling;
    const int error = call_server(connection);
    if (error == kRetry) {
        connection.state = State::pausing;
        retry_later(connection);
        return;
    }
    if (error != 0 ||
        !poller_.add(connection.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, number_of(connection))) {
        fail_cycle(connection, Stage::connect, error != 0 ? error : errno);
        return;
    }
    // On loopback the handshake is over when connect returns, although it returns EINPROGRESS, so
    // the message can go at once. Elsewhere EPOLLOUT reports when the socket is writable.
    tick();
    flush(connection);
    if (connection.state != State::calling || connection.blocked) return;
    count_connect(connection);
}

void Loop::retry_cycle(Connection& connection) {
    connection.fd < 0 ? begin_cycle(connection) : try_cycle(connection);
}

void Loop::count_connect(Connection& connection) {
    if (!figures_.cycle_connect.record(now_ - connection.since)) figures_.errors.add_over_range();
    figures_.cycles.add(1);
    connection.state = State::awaiting;
}

void Loop::on_cycle(Connection& connection, std::uint32_t events) {
    if (connection.state == State::calling) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
        if (const int error = pending_error(connection.fd); error != 0) {
            fail_cycle(connection, Stage::connect, error);
            return;
        }
        tick();
        count_connect(connection);
    }
    if (connection.blocked && (events & EPOLLOUT) != 0) {
        tick();
        flush(connection);
        if (connection.state != State::awaiting) return;
    }
    if ((events & ~std::uint32_t{EPOLLOUT}) == 0) return;
    std::uint64_t completed = receive(connection, false);
    const bool ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (completed == 0 && ending && connection.state == State::awaiting) {
        completed = receive(connection, true);
    }
    if (completed != 0 && connection.state == State::awaiting) end_cycle(connection);
}

void Loop::end_cycle(Connection& connection) {
    if (!cell_.running) {
        connection.state = State::established;
        figures_.established.add(1);
        return;
    }
    const Nanoseconds read_at = now_;
    begin_cycle(connection);
    const Nanoseconds lag = connection.since - read_at;
    if (!figures_.send_lag.record(lag)) figures_.errors.add_over_range();
}

void Loop::fail_cycle(Connection& connection, Stage stage, int code) {
    figures_.errors.add(connection.state == State::calling ? Stage::connect : stage, code);
    figures_.cycles_failed.add(1);
    cell_.unsent -= connection.unsent();
    change_outstanding(-static_cast<std::int64_t>(connection.outstanding()));
    // The next cycle sends the next message.
    connection.send_sequence = connection.reply_sequence = connection.due_sequence;
    connection.send_offset = connection.reply_offset = 0;
    if (connection.fd >= 0) ::close(connection.fd);
    connection.fd = -1;
    connection.state = State::pausing;
    if (cell_.running) {
        retry_later(connection);
        return;
    }
    give_up(connection);
}

// Ends a connection that churn cannot leave established.
void Loop::give_up(Connection& connection) {
    figures_.lost.add(1);
    release(connection);
}

void Loop::hang_up(Connection& connection) {
    if (connection.fd < 0) return;
    if (cell_.traffic.closing == Closing::rst) {
        const linger at_once{.l_onoff = 1, .l_linger = 0};  // socket(7): close sends a reset
        ::setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    ::close(connection.fd);
    connection.fd = -1;
    connection.blocked = connection.stamped = false;
}

}  // namespace c10k
