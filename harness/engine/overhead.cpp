#include "overhead.hpp"

#include <exception>
#include <thread>

#include "poller.hpp"
#include "threads.hpp"

namespace c10k {

namespace {

constexpr int kClockReads = 200'000;
constexpr int kWaits = 500;
constexpr Nanoseconds kWait = 400'000;

void measure(Overhead& overhead) {
    const Nanoseconds start = monotonic_ns();
    Nanoseconds end = start;
    for (int i = 0; i < kClockReads; ++i) end = monotonic_ns();
    overhead.clock_read_ns = static_cast<double>(end - start) / kClockReads;
    Poller poller;
    Histogram lags;
    for (int i = 0; i < kWaits; ++i) {
        const Nanoseconds due = monotonic_ns() + kWait;
        // A wait may end early, see Poller::wait.
        while (monotonic_ns() < due) poller.wait(due - monotonic_ns());
        lags.record(monotonic_ns() - due);
    }
    lags.copy_to(overhead.wakeup_lag);
}

}  // namespace

Overhead measure_overhead(int cpu) {
    Overhead overhead;
    std::exception_ptr error;
    std::thread thread = start_thread("c10k-overhead", [&] {
        try {
            measure(overhead);
        } catch (...) {
            error = std::current_exception();
        }
    });
    try {
        if (cpu >= 0) pin_thread(thread, cpu);
    } catch (...) {
        error = std::current_exception();
    }
    thread.join();
    if (error) std::rethrow_exception(error);
    return overhead;
}

}  // namespace c10k
