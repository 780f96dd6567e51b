// select with glibc's fd_set, as most programs use it: a set of exactly 1,024 descriptors.
//
// How it waits: as servers/select does; one bit per descriptor, one set per kind of event, both
// overwritten with the answer by each call.
//
// What it costs: each call copies the two sets (128 bytes each), asks every descriptor watched up
// to the highest, and tests every bit again for the answer. Per echo: recv + send + 1/k of a select
// that reports k.
//
// The trap: FD_SETSIZE is 1,024 and counts descriptors, not connections, the standard three, the
// listening socket and the signals included: 1,019 connections. FD_SET of a higher number writes
// behind the set: glibc aborts the program if it was built with _FORTIFY_SOURCE and silently
// corrupts memory if not. So the check is ours, and a connection above the wall is closed at once.
#include "../common/loop.hpp"

#include <sys/select.h>

namespace {

using c10k::Want;

class Select {
public:
    // One: what is left in the socket is reported again by the next call.
    static constexpr int turns_max = 1;

    Select() {
        FD_ZERO(&read_);
        FD_ZERO(&write_);
    }

    bool add(int fd) {
        if (fd >= FD_SETSIZE) {
            return false;
        }
        FD_SET(fd, &read_);
        bits_ = std::max(bits_, fd + 1);
        return true;
    }

    void want(int fd, Want want) {
        FD_SET(fd, want == Want::write ? &write_ : &read_);
        FD_CLR(fd, want == Want::write ? &read_ : &write_);
    }

    void remove(int fd) {
        FD_CLR(fd, &read_);
        FD_CLR(fd, &write_);
        while (bits_ > 0 && !FD_ISSET(bits_ - 1, &read_) && !FD_ISSET(bits_ - 1, &write_)) {
            --bits_; // the highest one left: no call should ask for more
        }
    }

    std::span<const int> wait(int timeout_ms) {
        fd_set readable = read_;
        fd_set writable = write_;
        timeval timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
        const int returned =
            select(bits_, &readable, &writable, nullptr, timeout_ms < 0 ? nullptr : &timeout);
        // A descriptor is in one set only, so this counts descriptors. After an error it is 0, and
        // the sets are not read: the call has not overwritten them.
        std::size_t left = c10k::wait_count(returned, "select");
        ready_.clear();
        for (int fd = 0; left > 0; ++fd) {
            if (FD_ISSET(fd, &readable) || FD_ISSET(fd, &writable)) {
                ready_.push_back(fd);
                --left;
            }
        }
        return ready_;
    }

private:
    fd_set read_, write_;
    int bits_ = 0; // one more than the highest descriptor watched
    std::vector<int> ready_;
};

} // namespace

int main(int argc, char**) {
    return c10k::run_event_loop<Select>(argc);
}
