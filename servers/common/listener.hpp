// The listening socket, from address to accepted connection, the same for every mechanism.
#pragma once

#include "options.hpp"

namespace c10k {

// How many listeners a server has on its address.
enum class Port {
    own,     // this one
    founded, // this one, and others that join it by SO_REUSEPORT
    joined,  // it joins the one that founded it
};

class Listener {
public:
    // Opens, binds and listens. `flags`: SOCK_NONBLOCK for event loops, 0 to block in accept.
    // Throws Fault(exit_runtime) that names the address when the kernel refuses.
    Listener(const Options& options, int flags, Port port = Port::own);
    ~Listener(); // closes the socket and removes the path of a unix:// address
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    int fd() const { return fd_; }

private:
    int fd_ = -1;
    std::string path_; // of a unix:// address, else empty
};

enum class Accepted {
    connection, // there is a new descriptor
    nothing,    // the queue is empty (EAGAIN)
    retry,      // this one went away while it was queued: the next may be fine
    no_room,    // no descriptor or no memory: it stays queued, asking again at once would spin
    failed,     // the listener itself is unusable, errno says why
};

struct Accept {
    Accepted result;
    int fd; // meaningful for Accepted::connection only
};

// One accept4 with close-on-exec and `flags`. Never throws.
Accept accept_connection(int listener, int flags);

// What an accept that failed with this error is to be taken for.
Accepted accept_error(int error);

} // namespace c10k
