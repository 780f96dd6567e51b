// send, recv and sendmsg without being cancellation points of POSIX threads.
//
// glibc adds two atomic operations to each once a process has a second thread, which costs 1 % of
// an echo. The harness never cancels the engine's thread.
#pragma once

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

namespace c10k::socket_io {

inline ssize_t send(int fd, const void* data, std::size_t size) noexcept {
    return ::syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, nullptr, 0);
}

inline ssize_t send(int fd, const msghdr& message) noexcept {
    return ::syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
}

inline ssize_t receive(int fd, void* data, std::size_t size) noexcept {
    return ::syscall(SYS_recvfrom, fd, data, size, 0, nullptr, nullptr);
}

}  // namespace c10k::socket_io
