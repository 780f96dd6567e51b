// The counters of the engine thread. Any thread may read them.
//
// Rule 1: life totals only grow. What happened in a window is the difference of two copies taken
//         when the clock crossed its edges, so recording needs no test for an open window.
// Rule 2: one writer, the engine thread; relaxed counters, so readers never block it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "counter.hpp"
#include "errors.hpp"
#include "histogram.hpp"

namespace c10k {

// The growth of the number of established connections: at most kPointsMax points, thinned out.
class Timeline {
public:
    using Points = std::vector<std::pair<double, std::uint64_t>>;  // (ms, established)

    void clear();
    void add(double elapsed_ms, std::uint64_t established);
    Points copy() const;

private:
    static constexpr std::size_t kPointsMax = 200;

    // The hot path never adds a point, so a lock is allowed here.
    mutable std::mutex mutex_;
    Points points_;
    std::uint64_t stride_ = 1;  // every stride-th connection makes a point
    std::uint64_t count_ = 0;
    std::pair<double, std::uint64_t> last_{};
};

// Copies of the totals at one edge of a window, and then their differences.
struct Totals {
    Nanoseconds cpu = 0;      // CPU time of the engine thread
    Nanoseconds blocked = 0;  // time inside epoll_wait
    Nanoseconds spun = 0;     // passes of a spinning loop that found nothing to do
    std::uint64_t loops = 0;
    std::uint64_t sends = 0;  // calls of send
    std::uint64_t echoes = 0;
    std::uint64_t bytes = 0;  // verified bytes of replies
    std::uint64_t lost = 0;
    std::uint64_t corrupt_bytes = 0;
    std::uint64_t dropped = 0;  // sends that came due and never happened
    std::uint64_t cycles_failed = 0;
    std::int64_t outstanding_time = 0;
    std::int64_t latency_sum = 0;
    Errors::Table errors{};
    Counts latency;
    Counts send_lag;
    Counts self_delay;
    Counts cycle_connect;

    void subtract(const Totals& earlier) noexcept;
};

struct WindowFigures {
    // A tenth of the window, or several tenths if the engine stood still across their edges.
    struct Part {
        Nanoseconds length = 0;
        std::uint64_t echoes = 0;
    };
    static constexpr Nanoseconds kParts = 10;

    Nanoseconds start = 0;
    Nanoseconds end = 0;
    std::vector<Part> parts;
    std::uint64_t established_min = 0;
    Nanoseconds latency_max = 0;
    std::uint64_t missed_sends = 0;
    bool stamps = false;
    bool churns = false;
    Nanoseconds clock_step = 0;  // CLOCK_REALTIME against CLOCK_MONOTONIC, stamps only
    Totals totals;
};

struct Figures {
    Counter settled;  // connections that are or were established, and those that failed
    Counter established, lost, closed, failed, corrupt_bytes;
    Counter cycles, cycles_failed;  // churn: connections made, and cycles that failed
    Counter outstanding, bytes_sent, bytes_received, hellos, echoes, bytes;
    Counter running, echoes_at_start;
    Counter ramp_first_connect, ramp_last_established;
    Errors errors;
    Histogram connect, hello;                 // of the ramp
    Histogram latency, send_lag, self_delay;  // of the cell, warm-up included
    Histogram cycle_connect;                  // churn: connect() to connected
    Timeline timeline;

    // The closed window; null until the clock has passed its end, and again after a start.
    std::shared_ptr<const WindowFigures> window() const;
    void publish(std::shared_ptr<const WindowFigures> window);

private:
    mutable std::mutex mutex_;  // twice per cell
    std::shared_ptr<const WindowFigures> window_;
};

}  // namespace c10k
