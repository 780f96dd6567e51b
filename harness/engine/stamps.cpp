// Kernel receive time stamps: how long a reply waited in the engine's socket before it was read.
#include <linux/net_tstamp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "loop.hpp"

namespace c10k {

namespace {

// The first of the three time stamps is the software one (Documentation/networking/timestamping).
struct Stamps {
    timespec software;
    timespec unused[2];
};

}  // namespace

// Only active connections have time stamps: they cost 4 to 10 % of the throughput.
void Loop::use_stamps(bool on) {
    const int flags = on ? SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE : 0;
    for (Connection& connection : connections_) {
        if (connection.state != State::established) continue;
        const bool wanted = on && connection.slot != kNoSlot;
        if (wanted == connection.stamped) continue;
        if (::setsockopt(connection.fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) != 0) {
            figures_.errors.add(Stage::stamps, errno);
        }
        connection.stamped = wanted;
    }
}

// As recv, and records the self-delay. The stamp is that of the last segment that was read, in
// CLOCK_REALTIME; the offset to our clock was read when the window opened.
ssize_t Loop::read_stamped(int fd) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(Stamps))];
    iovec piece{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(fd, &message, 0);
    if (size <= 0) return size;
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_level != SOL_SOCKET ||
        header->cmsg_type != SO_TIMESTAMPING) {
        return size;
    }
    Stamps stamps{};
    std::memcpy(&stamps, CMSG_DATA(header), sizeof stamps);
    const Nanoseconds arrived = nanoseconds(stamps.software) - clock_offset_;
    if (!figures_.self_delay.record(monotonic_ns() - arrived)) figures_.errors.add_over_range();
    return size;
}

}  // namespace c10k
