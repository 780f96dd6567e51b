// The level-triggered mechanism, for all servers that build on it: servers/epoll-lt/server.cpp
// describes how it waits, what that costs, and where the trap is.
#pragma once

#include "loop.hpp"

#include <sys/epoll.h>

#include <array>

namespace c10k {

class Epoll {
public:
    // One: what is left in the socket is reported again by itself.
    static constexpr int turns_max = 1;

    Epoll() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) {
            throw Fault(exit_runtime, "epoll_create1 failed");
        }
    }

    bool add(int fd) { return watch(fd, 0); }

    void want(int fd, Want want) {
        const std::uint32_t events = want == Want::write ? EPOLLOUT : EPOLLIN;
        if (events != interest_[static_cast<std::size_t>(fd)]) {
            control(EPOLL_CTL_MOD, fd, events);
        }
    }

    // close() would do this too, but only if no other process holds the same socket.
    void remove(int fd) { control(EPOLL_CTL_DEL, fd, 0); }

    std::span<const int> wait(int timeout_ms) {
        const int returned = epoll_wait(epoll_, events_.data(), events_max, timeout_ms);
        const std::size_t count = wait_count(returned, "epoll_wait");
        for (std::size_t i = 0; i < count; ++i) {
            ready_[i] = events_[i].data.fd;
        }
        return {ready_.data(), count};
    }

protected:
    // Watches a new descriptor for reading; `flags` say how.
    bool watch(int fd, std::uint32_t flags) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= interest_.size()) {
            interest_.resize(index + 1);
        }
        return control(EPOLL_CTL_ADD, fd, EPOLLIN, flags);
    }

private:
    // A longer list saves nothing more: at 1,024 a wait is a thousandth of a call per event.
    static constexpr int events_max = 1024;

    bool control(int operation, int fd, std::uint32_t events, std::uint32_t flags = 0) {
        epoll_event event{};
        event.events = events | flags;
        event.data.fd = fd;
        interest_[static_cast<std::size_t>(fd)] = events;
        return epoll_ctl(epoll_, operation, fd, &event) == 0;
    }

    int epoll_;
    std::array<epoll_event, events_max> events_;
    std::array<int, events_max> ready_;
    std::vector<std::uint32_t> interest_; // by descriptor: the interest that the kernel has
};

} // namespace c10k
