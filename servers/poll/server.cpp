// poll: the caller keeps the list of descriptors, and hands all of it over at every call.
//
// How it waits: an array of (descriptor, wanted events, returned events). The kernel asks each of
// them whether it is ready, and puts the caller on the wait queue of each if none is.
//
// What it costs: every call is proportional to the descriptors *watched*, three times over: the
// array is copied in, each entry asked, the results copied out; then the caller scans it again.
// With 10,000 watched and 100 ready, 9,900 are asked for nothing. There is no other call: a change
// of interest is a store to memory. Per echo: recv + send + 1/k of a poll that reports k.
//
// The trap: holes. If the array only grew, every later call would cost more, so the last entry
// moves into the place of a removed one, and an index by descriptor holds the place of each.
#include "../common/loop.hpp"

#include <poll.h>

namespace {

using c10k::Want;

class Poll {
public:
    // One: what is left in the socket is reported again by the next call.
    static constexpr int turns_max = 1;

    bool add(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= place_.size()) {
            place_.resize(index + 1);
        }
        place_[index] = watched_.size();
        watched_.push_back({fd, POLLIN, 0});
        return true;
    }

    void want(int fd, Want want) {
        watched_[place_[static_cast<std::size_t>(fd)]].events =
            want == Want::write ? POLLOUT : POLLIN;
    }

    void remove(int fd) {
        const std::size_t place = place_[static_cast<std::size_t>(fd)];
        watched_[place] = watched_.back();
        place_[static_cast<std::size_t>(watched_[place].fd)] = place;
        watched_.pop_back();
    }

    std::span<const int> wait(int timeout_ms) {
        const int returned = poll(watched_.data(), watched_.size(), timeout_ms);
        std::size_t left = c10k::wait_count(returned, "poll");
        ready_.clear();
        // POLLERR and POLLHUP come unasked: whatever the events are, recv or send finds out.
        for (auto entry = watched_.begin(); left > 0; ++entry) {
            if (entry->revents != 0) {
                ready_.push_back(entry->fd);
                --left;
            }
        }
        return ready_;
    }

private:
    std::vector<pollfd> watched_;    // dense
    std::vector<std::size_t> place_; // by descriptor: its index in watched_
    std::vector<int> ready_;
};

} // namespace

int main(int argc, char**) {
    return c10k::run_event_loop<Poll>(argc);
}
