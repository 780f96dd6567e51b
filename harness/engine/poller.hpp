// epoll with nanosecond time-outs.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <span>

#include "clock.hpp"

namespace c10k {

class Poller {
public:
    Poller();  // std::system_error if the kernel gives no epoll set
    ~Poller();
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;

    int fd() const noexcept { return fd_; }

    // False and errno as epoll_ctl sets it.
    bool add(int fd, std::uint32_t events, std::uint64_t tag) noexcept;
    bool modify(int fd, std::uint32_t events, std::uint64_t tag) noexcept;

    // Waits for at most `timeout` (kNever: without end, <= 0: not at all). A wait may end early.
    std::span<const epoll_event> wait(Nanoseconds timeout);

private:
    int wait_once(Nanoseconds timeout) noexcept;

    // Large enough to spread the cost of the call over many events at saturation, small enough
    // (6 KB) to stay in the first-level cache.
    static constexpr int kEventsMax = 512;

    int fd_;
    bool nanoseconds_ = true;  // the kernel has epoll_pwait2 (Linux 5.11)
    std::array<epoll_event, kEventsMax> events_{};
};

}  // namespace c10k
