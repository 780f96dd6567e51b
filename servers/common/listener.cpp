#include "listener.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace c10k {
namespace {

Fault cannot_listen(const Options& options, const char* call) {
    return Fault(exit_runtime,
                 "cannot listen on " + options.listen + ": " + call + ": " + std::strerror(errno));
}

void set_option(const Options& options, int fd, int level, int name) {
    const int on = 1;
    if (setsockopt(fd, level, name, &on, sizeof on) != 0) {
        throw cannot_listen(options, "setsockopt");
    }
}

const sockaddr* address_of(const Options& options) {
    return reinterpret_cast<const sockaddr*>(&options.address);
}

// A socket file outlives a server that was killed. It may be removed only if it is a socket and no
// process listens on it. A refused connect proves that; any other answer does not.
bool is_stale(const Options& options, const std::string& path) {
    struct stat status{};
    if (lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return false;
    }
    const bool refused =
        connect(probe, address_of(options), options.address_bytes) != 0 && errno == ECONNREFUSED;
    close(probe);
    return refused;
}

void bind_address(const Options& options, int fd, const std::string& path) {
    if (bind(fd, address_of(options), options.address_bytes) == 0) {
        return;
    }
    const int error = errno;
    if (error == EADDRINUSE && !path.empty() && is_stale(options, path) &&
        unlink(path.c_str()) == 0 && bind(fd, address_of(options), options.address_bytes) == 0) {
        return;
    }
    errno = error;
    throw cannot_listen(options, "bind");
}

} // namespace

Listener::Listener(const Options& options, int flags, Port port) {
    const int family = options.address.ss_family;
    fd_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd_ < 0) {
        throw cannot_listen(options, "socket");
    }
    try {
        std::string path;
        if (family == AF_UNIX) {
            path = reinterpret_cast<const sockaddr_un*>(&options.address)->sun_path;
        } else {
            set_option(options, fd_, SOL_SOCKET, SO_REUSEADDR);
            // Accepted sockets inherit it on Linux (the listener's tcp_sock is cloned): no system
            // call per connection.
            set_option(options, fd_, IPPROTO_TCP, TCP_NODELAY);
        }
        if (family == AF_INET6) {
            // An address means what it says, whatever net.ipv6.bindv6only is: [::] is IPv6 only,
            // 0.0.0.0 is IPv4 only, and both may be served on one port by two servers.
            set_option(options, fd_, IPPROTO_IPV6, IPV6_V6ONLY);
        }
        if (port == Port::joined) {
            set_option(options, fd_, SOL_SOCKET, SO_REUSEPORT);
        }
        bind_address(options, fd_, path);
        path_ = path; // from here on it is ours to remove
        if (port == Port::founded) {
            // Not before bind: the kernel shares a port only if both sockets allow it. So the first
            // socket is refused another server's port; sockets that join later find it shared.
            set_option(options, fd_, SOL_SOCKET, SO_REUSEPORT);
        }
        if (listen(fd_, options.backlog) != 0) {
            throw cannot_listen(options, "listen");
        }
    } catch (const Fault&) {
        close(fd_);
        if (!path_.empty()) {
            unlink(path_.c_str());
        }
        throw;
    }
}

Listener::~Listener() {
    close(fd_);
    if (!path_.empty()) {
        unlink(path_.c_str());
    }
}

Accept accept_connection(int listener, int flags) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | flags);
    return fd >= 0 ? Accept{Accepted::connection, fd} : Accept{accept_error(errno), -1};
}

Accepted accept_error(int error) {
    switch (error) {
    case EAGAIN:
        return Accepted::nothing;
    // Linux hands the new socket's own pending network error to accept: see accept(2).
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return Accepted::retry;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return Accepted::no_room;
    default:
        return Accepted::failed;
    }
}

} // namespace c10k
