// An io_uring: one ring takes requests, another returns their results. One system call submits all
// prepared requests and waits for the first result.
//
// Rule 1: what a request refers to, a buffer or a descriptor, belongs to the kernel until the
//         request's last result. So nothing is closed or freed before that, and no result can be
//         about a descriptor that means another connection by now.
#pragma once

#include "listener.hpp"
#include "server.hpp"

#include <liburing.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

namespace c10k {

enum class Request : std::uint8_t { accept, ask, rest, receive, send, cancel };

struct Result {
    Request request;
    int fd;              // that the request was made for
    int value;           // what the system call would have returned, -errno for an error
    std::uint32_t flags; // IORING_CQE_F_...
};

class Ring {
public:
    // `flags`: IORING_SETUP_... Throws Fault(exit_unavailable) where this host has no such ring.
    explicit Ring(unsigned flags) {
        io_uring_params params{};
        params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
        params.cq_entries = results_max;
        const int result = io_uring_queue_init_params(requests_max, &ring_, &params);
        if (result < 0) {
            throw unavailable("io_uring_setup", -result);
        }
    }
    ~Ring() {
        // Ended here and now: left to the exit, requests would keep their sockets, the listening
        // one among them, until a worker of the kernel comes to it (io_ring_exit_work).
        io_uring_sync_cancel_reg all{};
        all.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
        all.timeout = {-1, -1};
        io_uring_register_sync_cancel(&ring_, &all);
        io_uring_get_events(&ring_); // what is cancelled lets go when its result is made
        io_uring_queue_exit(&ring_);
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    io_uring* get() { return &ring_; }

    // A place for a request, to be filled by prepare(sqe); it goes to the kernel at the next wait.
    template <typename Prepare>
    void request(Request request, int fd, Prepare prepare) {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        while (sqe == nullptr) { // full: the kernel takes them all at once
            submitted(io_uring_submit(&ring_));
            sqe = io_uring_get_sqe(&ring_);
        }
        prepare(sqe);
        io_uring_sqe_set_data64(sqe, name(request, fd));
    }

    void cancel(Request request, int fd) {
        this->request(Request::cancel, fd, [&](io_uring_sqe* sqe) {
            io_uring_prep_cancel64(sqe, name(request, fd), 0);
        });
    }

    // Hands over what was requested, waits for a result, and calls take(Result) for each there is.
    // Throws Fault.
    template <typename Take>
    std::size_t wait(Take take) {
        submitted(io_uring_submit_and_wait(&ring_, 1));
        unsigned head = 0;
        unsigned count = 0;
        io_uring_cqe* cqe = nullptr;
        io_uring_for_each_cqe(&ring_, head, cqe) {
            ++count;
            take(Result{static_cast<Request>(cqe->user_data & 0xff),
                        static_cast<int>(cqe->user_data >> 8), cqe->res, cqe->flags});
        }
        io_uring_cq_advance(&ring_, count);
        return count;
    }

    static Fault unavailable(const char* call, int error) {
        const char* why = error == EPERM    ? " (kernel.io_uring_disabled, or a seccomp profile)"
                          : error == ENOSYS ? " (not in this kernel, or a seccomp profile)"
                          : error == EINVAL ? " (needs Linux 6.1)"
                                            : "";
        return Fault(exit_unavailable, std::string("io_uring is not available here: ") + call +
                                           ": " + std::strerror(error) + why);
    }

private:
    static constexpr unsigned requests_max = 4096;
    static constexpr unsigned results_max = 32768;

    static std::uint64_t name(Request request, int fd) {
        return static_cast<std::uint64_t>(fd) << 8 | static_cast<std::uint64_t>(request);
    }

    // EINTR: a signal. EAGAIN and EBUSY: results are to be taken first.
    static void submitted(int result) {
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
            throw Fault(exit_runtime, std::string("io_uring_enter: ") + std::strerror(-result));
        }
    }

    io_uring ring_{};
};

} // namespace c10k
