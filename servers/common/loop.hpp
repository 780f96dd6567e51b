// The event loop that all mechanisms share, and the seam behind which they differ.
//
// A mechanism is a class with four functions and one number (concept Waiter). It does not echo, and
// the loop does not wait. The mechanism is a template parameter, so a call of it is not indirect.
#pragma once

#include "connection.hpp"
#include "listener.hpp"
#include "server.hpp"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace c10k {

// What a descriptor is to be reported for. It waits for one thing at a time: while output is owed
// nothing is read (connection.hpp, rule 1).
enum class Want : std::uint8_t {
    read,  // it was read empty: report it when there is input again
    write, // its output is full: report it when there is space again
    turn,  // it was left before it was empty: report it again, whether or not anything new comes
};

template <typename T>
concept Waiter = requires(T waiter, int fd, Want want, int timeout_ms) {
    // Watches a new descriptor for reading. false: this mechanism cannot hold it.
    { waiter.add(fd) } -> std::same_as<bool>;
    // Called after every turn of a descriptor, so it must cost nothing when nothing changes.
    { waiter.want(fd, want) } -> std::same_as<void>;
    // Forgets a descriptor. It is still open, and was reported in the batch at hand.
    { waiter.remove(fd) } -> std::same_as<void>;
    // Waits for at most timeout_ms (-1: no limit) and returns the descriptors that are ready, each
    // once; none after a signal or a timeout. Valid until the next call. Throws Fault.
    { waiter.wait(timeout_ms) } -> std::same_as<std::span<const int>>;
    // How many turns a reported descriptor gets before the others have theirs.
    { T::turns_max } -> std::convertible_to<int>;
};

// The count that a wait call returned: an interrupted wait (a stop and continue, a debugger) is an
// empty one. Throws Fault for any other error.
inline std::size_t wait_count(int returned, const char* call) {
    if (returned < 0 && errno != EINTR) {
        throw Fault(exit_runtime, std::string(call) + ": " + std::strerror(errno));
    }
    return returned < 0 ? 0 : static_cast<std::size_t>(returned);
}

// The source of requests to a loop: to print its counters, or to end.
class Control {
public:
    virtual int fd() const = 0; // is readable when something is asked
    // Answers all that is asked; true: the loop is to end. Throws Fault.
    virtual bool stop_asked(const Counters& counters) = 0;

protected:
    ~Control() = default;
};

// A connection and its turns; what else it keeps between them is its own.
template <typename T>
concept Session = requires(T session, int fd, std::span<std::byte> buffer, Counters& counters) {
    { session.turn(fd, buffer, counters) } -> std::same_as<Progress>;
};

template <Waiter W, Session S = Connection>
class Loop {
public:
    Loop(int listener, Control& control)
        : listener_(listener), control_(control), asking_(control.fd()), buffer_(buffer_bytes) {
        if (!watch_listener() || !waiter_.add(asking_)) {
            throw Fault(exit_runtime, "cannot watch the listening socket");
        }
    }

    // Serves until its control ends it.
    Counters run() {
        for (;;) {
            const std::span<const int> ready = waiter_.wait(resting_ ? rest_ms : -1);
            ++counters_.waits;
            counters_.events += ready.size();
            bool accept_now = false;
            bool asked = false;
            for (const int fd : ready) {
                if (fd == listener_) {
                    accept_now = true;
                } else if (fd == asking_) {
                    asked = true;
                } else {
                    serve(fd);
                }
            }
            // Last, so that no descriptor closed in this batch comes back in it as another one.
            if (accept_now) {
                accept_some();
            } else if (resting_) {
                end_rest();
            }
            // After the batch, so that the counters cover whole batches.
            if (asked) {
                if (control_.stop_asked(counters_)) {
                    return counters_;
                }
                waiter_.want(asking_, Want::read);
            }
        }
    }

private:
    using Clock = std::chrono::steady_clock;

    // An accept takes some microseconds; a burst of connects must not delay the other connections.
    static constexpr int accepts_max = 64;

    // Where several loops have the same listener, a mechanism may have a way of its own for it.
    bool watch_listener() {
        if constexpr (requires { waiter_.add_shared(listener_); }) {
            return waiter_.add_shared(listener_);
        } else {
            return waiter_.add(listener_);
        }
    }

    void serve(int fd) {
        S& connection = connections_[static_cast<std::size_t>(fd)];
        Progress progress = Progress::more;
        for (int turn = 0; turn < W::turns_max && progress == Progress::more; ++turn) {
            progress = connection.turn(fd, buffer_, counters_);
        }
        switch (progress) {
        case Progress::more:
            return waiter_.want(fd, Want::turn);
        case Progress::drained:
            return waiter_.want(fd, Want::read);
        case Progress::blocked:
            return waiter_.want(fd, Want::write);
        case Progress::over:
            connection = S();
            waiter_.remove(fd);
            return finish(fd);
        }
    }

    void accept_some() {
        for (int i = 0; i < accepts_max; ++i) {
            const Accept accept = accept_connection(listener_, SOCK_NONBLOCK);
            switch (accept.result) {
            case Accepted::connection:
                open(accept.fd);
                break;
            case Accepted::nothing:
                return waiter_.want(listener_, Want::read);
            case Accepted::retry:
                break;
            case Accepted::no_room:
                return begin_rest();
            case Accepted::failed:
                throw Fault(exit_runtime, std::string("accept: ") + std::strerror(errno));
            }
        }
        waiter_.want(listener_, Want::turn);
    }

    void open(int fd) {
        ++counters_.accepted;
        if (!waiter_.add(fd)) {
            return finish(fd); // a wall of the mechanism: refused, the others are served on
        }
        const auto index = static_cast<std::size_t>(fd);
        if (index >= connections_.size()) {
            connections_.resize(index + 1);
        }
    }

    void finish(int fd) {
        close(fd);
        ++counters_.closed;
        rest_until_ = {};
    }

    // No descriptor or no memory for the next connection. It stays queued, and a watched listener
    // would report it again at once, without end. So the loop stops watching it for a while.
    void begin_rest() {
        waiter_.remove(listener_);
        resting_ = true;
        rest_until_ = Clock::now() + std::chrono::milliseconds(rest_ms);
    }

    void end_rest() {
        if (Clock::now() >= rest_until_ && watch_listener()) {
            resting_ = false;
        }
    }

    W waiter_;
    int listener_;
    Control& control_;
    int asking_;                    // the control's descriptor
    std::vector<std::byte> buffer_; // one for all: it is empty between two turns
    std::vector<S> connections_;    // by descriptor: a look-up is an index
    Counters counters_;
    bool resting_ = false;
    Clock::time_point rest_until_; // the epoch: as soon as possible
};

// The signals of a process that has one loop.
class Signals final : public Control {
public:
    int fd() const override { return fd_; }

    bool stop_asked(const Counters& counters) override {
        for (;;) {
            switch (read_signal(fd_)) {
            case Asked::nothing:
                return false;
            case Asked::counters:
                print(counters);
                break;
            case Asked::stop:
                return true;
            }
        }
    }

private:
    const int fd_ = open_signal_descriptor();
};

// The main of a variant that is one event loop.
template <Waiter W, Session S = Connection>
int run_event_loop(int argc) {
    return run_server(argc, [](const Options& options) {
        const Listener listener(options, SOCK_NONBLOCK);
        Signals signals;
        return Loop<W, S>(listener.fd(), signals).run();
    });
}

} // namespace c10k
