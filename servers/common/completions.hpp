// Shared by the servers on io_uring: accepting, resting, closing and stopping. Each server handles
// its connections itself (CRTP: Server derives from Completions<Server>).
#pragma once

#include "loop.hpp"
#include "ring.hpp"

#include <poll.h>

namespace c10k {

template <typename Server>
class Completions {
public:
    Counters run() {
        accept();
        await_control();
        for (;;) {
            ++counters_.waits;
            counters_.events += ring_.wait([this](const Result& result) { take(result); });
            // After the batch, so that the counters cover whole batches.
            if (asked_) {
                asked_ = false;
                if (control_.stop_asked(counters_)) {
                    return counters_;
                }
                await_control();
            }
        }
    }

protected:
    // Throws Fault.
    Completions(int listener, Control& control)
        : ring_(Server::setup_flags), listener_(listener), control_(control) {}

    // With nothing of it left in the kernel.
    void finish(int fd) {
        close(fd);
        ++counters_.closed;
        if (resting_ && !accepting_) {
            accept(); // there is room for one
        }
    }

    Ring ring_;
    Counters counters_;

private:
    Server& server() { return static_cast<Server&>(*this); }

    void take(const Result& result) {
        switch (result.request) {
        case Request::accept:
            return accepted(result);
        case Request::ask:
            asked_ = true;
            return;
        case Request::rest:
            resting_ = false;
            return accepting_ ? void() : accept();
        case Request::receive:
            return server().received(result);
        case Request::send:
            return server().sent(result);
        case Request::cancel:
            return server().cancelled(result);
        }
    }

    void accept() {
        accepting_ = true;
        ring_.request(Request::accept, listener_,
                      [this](io_uring_sqe* sqe) { Server::prepare_accept(sqe, listener_); });
    }

    void accepted(const Result& result) {
        accepting_ = (result.flags & IORING_CQE_F_MORE) != 0;
        if (result.value >= 0) {
            ++counters_.accepted;
            server().opened(result.value);
        } else if (const Accepted error = accept_error(-result.value); error == Accepted::no_room) {
            return rest();
        } else if (error == Accepted::failed) {
            throw Fault(exit_runtime, std::string("accept: ") + std::strerror(-result.value));
        }
        if (!accepting_) {
            accept();
        }
    }

    // No descriptor or no memory for the next connection: it stays queued for a while.
    void rest() {
        if (!resting_) {
            resting_ = true;
            ring_.request(Request::rest, 0, [this](io_uring_sqe* sqe) {
                io_uring_prep_timeout(sqe, &rest_time_, 0, 0);
            });
        }
    }

    void await_control() {
        ring_.request(Request::ask, control_.fd(), [this](io_uring_sqe* sqe) {
            io_uring_prep_poll_add(sqe, control_.fd(), POLLIN);
        });
    }

    const int listener_;
    Control& control_;
    __kernel_timespec rest_time_{0, rest_ms * 1'000'000};
    bool accepting_ = false; // an accept is with the kernel
    bool resting_ = false;   // a timer is
    bool asked_ = false;
};

template <typename Server>
int run_completions(int argc) {
    return run_server(argc, [](const Options& options) {
        const Listener listener(options, 0);
        Signals signals;
        return Server(listener.fd(), signals).run();
    });
}

} // namespace c10k
