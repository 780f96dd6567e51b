// epoll, edge-triggered: the kernel reports changes, and the server remembers the state.
//
// How it waits: epoll_ctl names a descriptor once, for input and output alike, and never again.
// Edge-triggered means that epoll_wait reports a descriptor when something *arrives*, once, and
// then forgets it: the report is an edge of the signal, not its level.
//
// What it costs: as much as level-triggered to wait, and no epoll_ctl when a socket becomes full.
// In exchange each report is to be followed until the kernel says EAGAIN: that last empty recv is
// one more system call. Per echo: recv + send + recv + 1/k of an epoll_wait that reports k.
//
// The trap: the kernel never reports unread data again. So the server reads on to find an EOF that
// came with data (a short read proves nothing about the FIN behind it). But reading on until EAGAIN
// lets one flooding peer starve all others. Hence the list of due descriptors: one that used up its
// turns before it was empty stays on the list and continues after the others had their turns.
#include "../common/loop.hpp"

#include <sys/epoll.h>

#include <array>

namespace {

using c10k::Want;

class Epoll {
public:
    // Up to 64 KiB for one descriptor; an ordinary echo takes two, of which the last is EAGAIN.
    static constexpr int turns_max = 4;

    Epoll() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) {
            throw c10k::Fault(c10k::exit_runtime, "epoll_create1 failed");
        }
    }

    bool add(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= is_due_.size()) {
            is_due_.resize(index + 1);
        }
        return control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLET);
    }

    // For input and for space the next edge comes by itself; for a turn that was left, none does.
    void want(int fd, Want want) {
        if (want == Want::turn) {
            make_due(fd);
        }
    }

    // It has just had its turn, so it is not on the list. close() would do this too, but only if no
    // other process holds the same socket.
    void remove(int fd) { control(EPOLL_CTL_DEL, fd, 0); }

    std::span<const int> wait(int timeout_ms) {
        const int timeout = due_.empty() ? timeout_ms : 0;
        const int returned = epoll_wait(epoll_, events_.data(), events_max, timeout);
        const std::size_t count = c10k::wait_count(returned, "epoll_wait");
        for (std::size_t i = 0; i < count; ++i) {
            make_due(events_[i].data.fd);
        }
        ready_.swap(due_);
        due_.clear();
        for (const int fd : ready_) {
            is_due_[static_cast<std::size_t>(fd)] = false;
        }
        return ready_;
    }

private:
    // A longer list saves nothing more: at 1,024 a wait is a thousandth of a call per event.
    static constexpr int events_max = 1024;

    bool control(int operation, int fd, std::uint32_t events) {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        return epoll_ctl(epoll_, operation, fd, &event) == 0;
    }

    // To be continued; a new edge of a descriptor that is on the list already adds nothing to it.
    void make_due(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (!is_due_[index]) {
            is_due_[index] = true;
            due_.push_back(fd);
        }
    }

    int epoll_;
    std::array<epoll_event, events_max> events_;
    std::vector<int> ready_;           // the batch at hand
    std::vector<int> due_;             // the next one, as far as it is known
    std::vector<std::uint8_t> is_due_; // by descriptor: it is in due_
};

} // namespace

int main(int argc, char**) {
    return c10k::run_event_loop<Epoll>(argc);
}
