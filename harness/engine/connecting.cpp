// Opening and closing connections: the cold part of the loop.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "loop.hpp"

namespace c10k {

namespace {

// When the backlog is full, connect on a unix socket does not queue: it fails with EAGAIN at once.
constexpr Nanoseconds kRetryEvery = kMillisecond;
constexpr Nanoseconds kRetryFor = 10 * kSecond;

bool set_option(int fd, int level, int name, int value) noexcept {
    return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

double milliseconds(Nanoseconds duration) {
    return static_cast<double>(duration) / static_cast<double>(kMillisecond);
}

}  // namespace

std::uint32_t Loop::number_of(const Connection& connection) const noexcept {
    return static_cast<std::uint32_t>(&connection - connections_.data());
}

void Loop::open(std::uint32_t number) {
    connections_.resize(number + std::size_t{1});
    to_connect_.push_back(number);
}

void Loop::close(std::uint32_t number) {
    if (number >= connections_.size() || connections_[number].state == State::gone) return;
    figures_.closed.add(1);
    release(connections_[number]);
}

void Loop::reset_ramp() {
    figures_.connect.reset();
    figures_.hello.reset();
    figures_.timeline.clear();
    figures_.ramp_first_connect.set(0);
    figures_.ramp_last_established.set(0);
}

void Loop::connect_some() {
    for (int i = 0; i < kConnectsPerLoop && !to_connect_.empty(); ++i) {
        Connection& connection = connections_[to_connect_.front()];
        to_connect_.pop_front();
        if (connection.state == State::requested) begin_connect(connection);
    }
    if (now_ < retry_at_) return;
    retry_at_ = kNever;
    const auto waiting = std::min<std::size_t>(to_retry_.size(), kConnectsPerLoop);
    for (std::size_t i = 0; i < waiting; ++i) {
        Connection& connection = connections_[to_retry_.front()];
        to_retry_.pop_front();
        if (connection.state == State::requested) try_connect(connection);
        if (connection.state == State::pausing) retry_cycle(connection);
    }
    if (!to_retry_.empty()) retry_at_ = now_ + kRetryEvery;
}

// The connection has the descriptor even if a later step failed.
Loop::Trouble Loop::prepare_socket(Connection& connection, const Address* source) {
    const int family = settings_.server.family();
    connection.fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection.fd < 0) return {Stage::socket, errno};
    if (family != AF_UNIX) set_option(connection.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (source == nullptr) return {};
    // Without this option, bind takes a port that no other connection of this address can use, even
    // with another peer. With it, connect chooses the port, for the four-tuple (Linux 4.2, ip(7)).
    set_option(connection.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (::bind(connection.fd, source->get(), source->length) == 0) return {};
    return {Stage::bind, errno};
}

void Loop::begin_connect(Connection& connection) {
    const auto& sources = settings_.sources;
    const Address* source =
        sources.empty() ? nullptr : &sources[number_of(connection) % sources.size()];
    const Trouble trouble = prepare_socket(connection, source);
    if (trouble.code != 0) {
        fail(connection, trouble.stage, trouble.code);
        return;
    }
    connection.since = tick();
    if (figures_.ramp_first_connect.get() == 0) {
        figures_.ramp_first_connect.set(static_cast<std::uint64_t>(now_));
    }
    try_connect(connection);
}

// Calls connect(2) and returns its errno; 0: connected or in progress; kRetry: try again later.
int Loop::call_server(const Connection& connection) {
    const Address& server = settings_.server;
    const int error = ::connect(connection.fd, server.get(), server.length) == 0 ? 0 : errno;
    if (error == EINPROGRESS) return 0;
    const bool is_full = error == EAGAIN && server.family() == AF_UNIX;
    return is_full && now_ - connection.since < kRetryFor ? kRetry : error;
}

void Loop::retry_later(const Connection& connection) {
    to_retry_.push_back(number_of(connection));
    retry_at_ = std::min(retry_at_, now_ + kRetryEvery);
}

void Loop::try_connect(Connection& connection) {
    const int error = call_server(connection);
    if (error == kRetry) {
        retry_later(connection);
        return;
    }
    if (error != 0) {
        fail(connection, Stage::connect, error);
        return;
    }
    connection.state = State::connecting;
    const std::uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (!poller_.add(connection.fd, events, number_of(connection))) {
        fail(connection, Stage::connect, errno);
    }
}

int Loop::pending_error(int fd) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

void Loop::on_connecting(Connection& connection, std::uint32_t events) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    if (const int error = pending_error(connection.fd); error != 0) {
        fail(connection, Stage::connect, error);
        return;
    }
    if (!figures_.connect.record(tick() - connection.since)) figures_.errors.add_over_range();
    connection.state = State::hello;
    connection.since = now_;
    connection.begin_stream(mix64(stream_seed_ ^ number_of(connection)), kHello_bytes);
    connection.due_sequence = 1;
    // Edge-triggered, and without EPOLLOUT: epoll_wait does not check a ready connection twice per
    // message, and a unix socket does not wake the engine for every message that its peer has read.
    poller_.modify(connection.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, number_of(connection));
    flush(connection);
}

void Loop::on_hello_answered(Connection& connection) {
    if (!figures_.hello.record(now_ - connection.since)) figures_.errors.add_over_range();
    connection.state = State::established;
    figures_.hellos.add(1);
    figures_.established.add(1);
    figures_.settled.add(1);
    figures_.ramp_last_established.set(static_cast<std::uint64_t>(now_));
    const auto first = static_cast<Nanoseconds>(figures_.ramp_first_connect.get());
    // A connection that completes after a later ramp() belongs to no ramp.
    if (first != 0) figures_.timeline.add(milliseconds(now_ - first), figures_.established.get());
}

void Loop::fail(Connection& connection, Stage stage, int code) {
    figures_.errors.add(stage, code);
    figures_.failed.add(1);
    release(connection);
}

void Loop::lose(Connection& connection, int code, Stage stage) {
    if (connection.state == State::hello) {
        fail(connection, Stage::hello, code);
        return;
    }
    if (churns(connection.state)) {
        fail_cycle(connection, stage, code);
        return;
    }
    figures_.errors.add(stage, code);
    figures_.lost.add(1);
    release(connection);
}

void Loop::release(Connection& connection) {
    if (connection.state == State::established) {
        figures_.established.subtract(1);
        if (phase_ == Phase::inside) {
            const std::uint64_t left = figures_.established.get();
            window_->established_min = std::min(window_->established_min, left);
        }
    } else if (!churns(connection.state)) {
        figures_.settled.add(1);
    }
    if (connection.slot != kNoSlot) {
        change_outstanding(-static_cast<std::int64_t>(connection.outstanding()));
        cell_.unsent -= connection.unsent();
        connection.slot = kNoSlot;
    }
    if (connection.fd >= 0) ::close(connection.fd);
    connection.fd = -1;
    connection.state = State::gone;
}

}  // namespace c10k
