#include "null_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "files.hpp"
#include "socket_io.hpp"
#include "threads.hpp"

namespace c10k {

namespace {

constexpr int kBacklog = 16384;
constexpr std::size_t kBuffer_bytes = 128 * 1024;

int checked(int result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), what);
    return result;
}

int listen_anywhere(std::string& address) {
    const int fd =
        checked(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    auto* const raw = reinterpret_cast<sockaddr*>(&name);
    checked(::bind(fd, raw, size), "bind");
    checked(::listen(fd, kBacklog), "listen");
    checked(::getsockname(fd, raw, &size), "getsockname");
    address = "tcp://127.0.0.1:" + std::to_string(ntohs(name.sin_port));
    return fd;
}

}  // namespace

NullServer::NullServer(Faults faults, int cpu)
    : faults_(std::move(faults)), is_faulty_(faults_.any()), buffer_(kBuffer_bytes) {
    listener_ = listen_anywhere(address_);
    wake_ = checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
    for (const int fd : {listener_, wake_}) {
        if (!poller_.add(fd, EPOLLIN, static_cast<std::uint64_t>(fd))) checked(-1, "epoll_ctl");
    }
    thread_ = start_thread("c10k-null", [this] { run(); });
    if (cpu < 0) return;
    try {
        pin_thread(thread_, cpu);
    } catch (...) {
        shutdown();  // the destructor of an object that was never finished does not run
        throw;
    }
}

NullServer::~NullServer() { shutdown(); }

void NullServer::shutdown() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
    thread_.join();
    ::close(listener_);
    ::close(wake_);
}

void NullServer::run() {
    own_files({listener_, wake_, poller_.fd()});
    while (!quit_) {
        const auto events = poller_.wait(timeout());
        if (is_faulty_) keep_time();
        for (const epoll_event& event : events) {
            const auto fd = static_cast<int>(event.data.u64);
            if (fd == wake_) {
                quit_ = true;
            } else if (fd == listener_) {
                accept_all();
            } else {
                serve(fd, event.events);
            }
        }
    }
    for (std::size_t fd = 0; fd < peers_.size(); ++fd) {
        if (peers_[fd].is_open) ::close(static_cast<int>(fd));
    }
}

Nanoseconds NullServer::timeout() const noexcept {
    if (!is_faulty_) return kNever;
    Nanoseconds until = faults_.stop_for != 0 ? faults_.stop_at : kNever;
    if (!held_.empty()) until = std::min(until, held_.top().due);
    return until == kNever ? kNever : until - monotonic_ns();
}

// Pauses when the pause is due, and sends the replies that are due.
void NullServer::keep_time() {
    Nanoseconds now = monotonic_ns();
    if (faults_.stop_for != 0 && now >= faults_.stop_at) {
        const Nanoseconds until = faults_.stop_at + faults_.stop_for;
        faults_.stop_for = 0;
        const timespec end{.tv_sec = until / kSecond, .tv_nsec = until % kSecond};
        while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr) == EINTR) {
        }
        now = monotonic_ns();
    }
    while (!held_.empty() && held_.top().due <= now) {
        const Held reply = held_.top();
        held_.pop();
        const Peer& peer = peers_[static_cast<std::size_t>(reply.fd)];
        if (!peer.is_open || peer.number != reply.peer) continue;
        send(reply.fd, reply.bytes.data(), reply.bytes.size());
    }
}

void NullServer::accept_all() {
    while (true) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == ECONNABORTED || errno == EINTR) continue;
            return;
        }
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const auto place = static_cast<std::size_t>(fd);
        if (place >= peers_.size()) peers_.resize(place + 1);
        Peer& peer = peers_[place];
        accepted.add(1);
        peer = Peer{};
        peer.number = accepted.get();
        peer.is_open = true;
        const std::uint64_t every = faults_.drop_every_connections;
        peer.is_doomed = every != 0 && peer.number % every == 0;
        poller_.add(fd, EPOLLIN, static_cast<std::uint64_t>(fd));
    }
}

void NullServer::serve(int fd, std::uint32_t events) {
    Peer& peer = peers_[static_cast<std::size_t>(fd)];
    if (!peer.is_open) return;
    if (!peer.unsent.empty()) {
        if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
            drop(fd);
            return;
        }
        const std::string rest = std::exchange(peer.unsent, {});
        send(fd, rest.data(), rest.size());
        if (peer.is_open && peer.unsent.empty()) {
            poller_.modify(fd, EPOLLIN, static_cast<std::uint64_t>(fd));
        }
        return;
    }
    const ssize_t size = socket_io::receive(fd, buffer_.data(), buffer_.size());
    if (size > 0) {
        answer(fd, buffer_.data(), static_cast<std::size_t>(size));
    } else if (size == 0 || errno != EAGAIN) {
        drop(fd);
    }
}

void NullServer::answer(int fd, char* data, std::size_t size) {
    if (!is_faulty_) [[likely]] {
        send(fd, data, size);
        return;
    }
    Peer& peer = peers_[static_cast<std::size_t>(fd)];
    if (peer.is_doomed) {
        dropped.add(1);
        drop(fd);
        return;
    }
    corrupt(data, size);
    ++replies_;
    const Nanoseconds delay = next_delay();
    const Nanoseconds now = monotonic_ns();
    if (delay == 0 && peer.due <= now) {
        send(fd, data, size);
        return;
    }
    if (delay != 0) delayed.add(1);
    hold(fd, std::string(data, size), std::max(peer.due, now + delay));
}

void NullServer::corrupt(char* data, std::size_t size) {
    const std::uint64_t every = faults_.corrupt_every_bytes;
    const std::uint64_t before = echoed_bytes.get();
    echoed_bytes.add(size);
    if (every == 0) return;
    for (std::uint64_t at = (before / every + 1) * every; at <= before + size; at += every) {
        data[at - before - 1] = static_cast<char>(data[at - before - 1] ^ 1);
        corrupted.add(1);
    }
}

Nanoseconds NullServer::next_delay() {
    if (!faults_.delays.empty()) return faults_.delays[(replies_ - 1) % faults_.delays.size()];
    const std::uint64_t every = faults_.delay_every_replies;
    return every != 0 && replies_ % every == 0 ? faults_.delay : 0;
}

void NullServer::hold(int fd, std::string bytes, Nanoseconds due) {
    Peer& peer = peers_[static_cast<std::size_t>(fd)];
    peer.due = due;
    held_.push({due, ++orders_, fd, peer.number, std::move(bytes)});
}

void NullServer::send(int fd, const char* data, std::size_t size) {
    Peer& peer = peers_[static_cast<std::size_t>(fd)];
    const bool is_behind = !peer.unsent.empty();
    const ssize_t sent = is_behind ? 0 : socket_io::send(fd, data, size);
    if (sent == static_cast<ssize_t>(size)) return;
    if (sent < 0 && errno != EAGAIN) {
        drop(fd);
        return;
    }
    const auto taken = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
    peer.unsent.append(data + taken, size - taken);
    // Reads no more until the rest is sent, so a client that sends without reading must wait.
    if (!is_behind) poller_.modify(fd, EPOLLOUT, static_cast<std::uint64_t>(fd));
}

void NullServer::drop(int fd) {
    ::close(fd);
    peers_[static_cast<std::size_t>(fd)].is_open = false;
}

}  // namespace c10k
