#include "figures.hpp"

namespace c10k {

void Timeline::clear() {
    const std::lock_guard lock(mutex_);
    points_.clear();
    points_.reserve(kPointsMax);
    stride_ = 1;
    count_ = 0;
    last_ = {};
}

void Timeline::add(double elapsed_ms, std::uint64_t established) {
    const std::lock_guard lock(mutex_);
    last_ = {elapsed_ms, established};
    if (count_++ % stride_ != 0) return;
    points_.push_back(last_);
    // One place is kept for the last point, which copy() appends.
    if (points_.size() + 1 < kPointsMax) return;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < points_.size(); i += 2) points_[kept++] = points_[i];
    points_.resize(kept);
    stride_ *= 2;
}

Timeline::Points Timeline::copy() const {
    const std::lock_guard lock(mutex_);
    Points points = points_;
    if (count_ != 0 && points.back() != last_) points.push_back(last_);
    return points;
}

void Totals::subtract(const Totals& earlier) noexcept {
    cpu -= earlier.cpu;
    blocked -= earlier.blocked;
    spun -= earlier.spun;
    loops -= earlier.loops;
    sends -= earlier.sends;
    echoes -= earlier.echoes;
    bytes -= earlier.bytes;
    lost -= earlier.lost;
    corrupt_bytes -= earlier.corrupt_bytes;
    dropped -= earlier.dropped;
    cycles_failed -= earlier.cycles_failed;
    outstanding_time -= earlier.outstanding_time;
    latency_sum -= earlier.latency_sum;
    for (std::size_t cell = 0; cell < errors.size(); ++cell) errors[cell] -= earlier.errors[cell];
    latency.subtract(earlier.latency);
    send_lag.subtract(earlier.send_lag);
    self_delay.subtract(earlier.self_delay);
    cycle_connect.subtract(earlier.cycle_connect);
}

std::shared_ptr<const WindowFigures> Figures::window() const {
    const std::lock_guard lock(mutex_);
    return window_;
}

void Figures::publish(std::shared_ptr<const WindowFigures> window) {
    const std::lock_guard lock(mutex_);
    window_ = std::move(window);
}

}  // namespace c10k
