#include "poller.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441  // the same number on all architectures
#endif

namespace c10k {

Poller::Poller() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Poller::~Poller() { ::close(fd_); }

bool Poller::add(int fd, std::uint32_t events, std::uint64_t tag) noexcept {
    epoll_event event{events, {.u64 = tag}};
    return ::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool Poller::modify(int fd, std::uint32_t events, std::uint64_t tag) noexcept {
    epoll_event event{events, {.u64 = tag}};
    return ::epoll_ctl(fd_, EPOLL_CTL_MOD, fd, &event) == 0;
}

int Poller::wait_once(Nanoseconds timeout) noexcept {
    if (timeout == kNever) return ::epoll_wait(fd_, events_.data(), kEventsMax, -1);
    if (timeout <= 0) return ::epoll_wait(fd_, events_.data(), kEventsMax, 0);
    if (nanoseconds_) {
        const timespec limit{.tv_sec = timeout / kSecond, .tv_nsec = timeout % kSecond};
        const auto count = ::syscall(SYS_epoll_pwait2, fd_, events_.data(), kEventsMax, &limit,
                                     nullptr, std::size_t{8});
        // EPERM: seccomp profiles older than the call return it instead of ENOSYS.
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
        nanoseconds_ = false;
    }
    // Rounded down: the caller waits again and spins through the last millisecond. So rounding
    // never delays a send.
    constexpr Nanoseconds kLongest_ms = 60'000;
    const auto limit_ms = static_cast<int>(std::min(timeout / kMillisecond, kLongest_ms));
    return ::epoll_wait(fd_, events_.data(), kEventsMax, limit_ms);
}

std::span<const epoll_event> Poller::wait(Nanoseconds timeout) {
    const int count = wait_once(timeout);
    if (count >= 0) return {events_.data(), static_cast<std::size_t>(count)};
    // SIGSTOP and SIGCONT interrupt a wait even when all signals are blocked.
    if (errno == EINTR) return {};
    throw std::system_error(errno, std::generic_category(), "epoll_wait");
}

}  // namespace c10k
