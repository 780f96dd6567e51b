// Event loops in threads, one per processor. They share nothing while they run. The main thread
// serves no connection; it wakes the loops to read their counters or to end them.
#pragma once

#include "loop.hpp"

#include <sched.h>
#include <sys/eventfd.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <thread>

namespace c10k {

// How many processors this process may run on: cpusets and taskset count, hot-plugging does not.
inline std::size_t processor_count() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    // Fails on a machine of more than 1,024 processors only.
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return std::thread::hardware_concurrency();
    }
    return static_cast<std::size_t>(CPU_COUNT(&allowed));
}

template <Waiter W>
class Worker final : private Control {
public:
    explicit Worker(int listener) : wake_(eventfd(0, EFD_CLOEXEC)), loop_(listener, *this) {}
    ~Worker() {
        if (thread_.joinable()) {
            ask(true);
            thread_.join();
        }
    }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    void start() {
        thread_ = std::thread([this] { run(); });
    }

    // Asks for the counters; `stop`: the loop ends with them.
    void ask(bool stop) {
        {
            const std::lock_guard lock(mutex_);
            stop_ = stop;
            answered_ = false;
        }
        eventfd_write(wake_, 1);
    }

    // Waits for the answer. Throws what has ended the loop, if it ended by itself.
    Counters answer() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return answered_ || failure_; });
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        return counters_;
    }

private:
    int fd() const override { return wake_; }

    bool stop_asked(const Counters& counters) override {
        eventfd_t times = 0;
        eventfd_read(wake_, &times);
        const std::lock_guard lock(mutex_);
        counters_ = counters;
        answered_ = true;
        changed_.notify_one();
        return stop_;
    }

    void run() {
        try {
            loop_.run();
        } catch (...) {
            const std::lock_guard lock(mutex_);
            failure_ = std::current_exception();
            changed_.notify_one();
            kill(getpid(), SIGTERM); // the main thread waits for nothing else
        }
    }

    const int wake_;
    Loop<W> loop_;
    std::thread thread_;
    std::mutex mutex_; // of what follows
    std::condition_variable changed_;
    std::exception_ptr failure_;
    Counters counters_;
    bool answered_ = false;
    bool stop_ = false;
};

// Serves by one loop for each of the listeners (which may be the same one) until a signal ends it.
// Throws Fault.
template <Waiter W>
Counters serve_by_workers(std::span<const int> listeners) {
    std::deque<Worker<W>> workers;
    for (const int listener : listeners) {
        workers.emplace_back(listener);
    }
    for (Worker<W>& worker : workers) {
        worker.start();
    }
    for (;;) {
        const bool stop = wait_for_signal() == Asked::stop;
        for (Worker<W>& worker : workers) {
            worker.ask(stop);
        }
        Counters sum;
        for (Worker<W>& worker : workers) {
            sum += worker.answer();
        }
        if (stop) {
            return sum;
        }
        print(sum);
    }
}

} // namespace c10k
