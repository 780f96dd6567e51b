// The cost of the engine's own measuring: a clock read, and a wait with a time-out.
#pragma once

#include "clock.hpp"
#include "histogram.hpp"

namespace c10k {

struct Overhead {
    double clock_read_ns = 0.0;  // one reading of CLOCK_MONOTONIC
    Counts wakeup_lag;           // from the deadline of a timed wait to its end
};

// Takes about a quarter of a second, in a thread as the engine's. std::invalid_argument when the
// process may not use the CPU (negative: any), std::system_error when no file can be opened.
Overhead measure_overhead(int cpu);

}  // namespace c10k
