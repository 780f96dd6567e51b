// A cell: its start, its schedule, its window and its end.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "loop.hpp"

namespace c10k {

namespace {

Nanoseconds realtime_offset() noexcept {
    const Nanoseconds before = monotonic_ns();
    const Nanoseconds realtime = read_clock(CLOCK_REALTIME);
    return realtime - (before + (monotonic_ns() - before) / 2);
}

}  // namespace

void Loop::start(const Traffic& traffic) {
    if (cell_.running) throw std::runtime_error("a cell is running: stop it first");
    if (outstanding_ != 0) {
        throw std::runtime_error("replies of the previous cell are outstanding: " +
                                 std::to_string(outstanding_));
    }
    const std::uint64_t established = figures_.established.get();
    if (traffic.active > established) {
        throw std::invalid_argument("active is " + std::to_string(traffic.active) + ", but only " +
                                    std::to_string(established) + " connections are established");
    }
    tick();
    figures_.publish(nullptr);
    figures_.latency.reset();
    figures_.send_lag.reset();
    figures_.self_delay.reset();
    figures_.cycle_connect.reset();
    figures_.echoes_at_start.set(figures_.echoes.get());
    cell_ = Cell{.traffic = traffic,
                 .running = true,
                 .open_loop = traffic.rate_per_s > 0,
                 .number = cell_.number + 1,
                 .schedule = {},
                 .sent = {}};
    choose_active(traffic);
    if (cell_.open_loop) {
        cell_.schedule = OpenLoop(now_, traffic.rate_per_s, traffic.active);
    } else {
        cell_.sent.reset(traffic.active, traffic.depth);
    }
    use_stamps(traffic.stamps);
    clock_offset_ = realtime_offset();
    window_ = std::make_shared<WindowFigures>();
    window_->stamps = traffic.stamps;
    window_->churns = traffic.churns();
    window_->parts.reserve(WindowFigures::kParts);
    at_start_ = std::make_unique<Totals>();
    phase_ = Phase::before;
    edge_ = traffic.window_start;
    figures_.running.set(1);
}

void Loop::choose_active(const Traffic& traffic) {
    for (const std::uint32_t number : active_) {
        if (connections_[number].state == State::pausing) give_up(connections_[number]);
        connections_[number].slot = kNoSlot;
    }
    active_.clear();
    for (const Connection& connection : connections_) {
        if (connection.state == State::established) active_.push_back(number_of(connection));
    }
    // The first `active` places of a Fisher-Yates shuffle.
    std::uint64_t random = mix64(settings_.seed) ^ mix64(~traffic.seed);
    for (std::uint32_t slot = 0; slot < traffic.active; ++slot) {
        random = mix64(random);
        std::swap(active_[slot], active_[slot + random % (active_.size() - slot)]);
        Connection& connection = connections_[active_[slot]];
        const std::uint64_t stream = cell_.number << 32 | active_[slot];
        connection.begin_stream(mix64(stream_seed_ ^ stream), traffic.payload_bytes);
        connection.slot = slot;
    }
    active_.resize(traffic.active);
}

// Drops each issued message of which no byte was sent. A message that was begun is completed: only
// a whole echo can be verified.
void Loop::stop() {
    if (!cell_.running) return;
    tick();
    cell_.running = false;
    figures_.running.set(0);
    if (cell_.traffic.churns()) return;  // each cycle is completed, and its connection stays
    for (const std::uint32_t number : active_) {
        Connection& connection = connections_[number];
        if (connection.slot == kNoSlot || connection.unsent() == 0) continue;
        const std::uint64_t begun = connection.send_offset > 0 ? 1 : 0;
        const std::uint64_t dropped = connection.unsent() - begun;
        connection.due_sequence -= dropped;
        cell_.unsent -= dropped;
        cell_.dropped += dropped;
        change_outstanding(-static_cast<std::int64_t>(dropped));
    }
}

void Loop::send_due() {
    if (!cell_.running) return;
    if (cell_.open_loop) {
        send_scheduled();
    } else if (cell_.issued < active_.size()) {
        cell_.traffic.churns() ? begin_churn() : send_first();
    }
}

void Loop::send_first() {
    for (int i = 0; i < kFirstSendsPerLoop && cell_.issued < active_.size(); ++i) {
        Connection& connection = connections_[active_[cell_.issued++]];
        if (connection.slot == kNoSlot) continue;
        tick();
        issue(connection, cell_.traffic.depth);
    }
}

// A late message is sent all the same, and its latency counts from when it was intended.
void Loop::send_scheduled() {
    for (int i = 0; i < kSendsPerLoop; ++i) {
        if (cell_.schedule.intended(cell_.issued) > tick()) return;
        Connection& connection = connections_[active_[cell_.slot]];
        ++cell_.issued;
        if (++cell_.slot == active_.size()) cell_.slot = 0;
        if (connection.slot == kNoSlot) {
            ++cell_.dropped;
            continue;
        }
        issue(connection, 1);
    }
}

void Loop::cross_edge() {
    if (phase_ == Phase::before) {
        phase_ = Phase::inside;
        latency_max_ = 0;
        window_->start = now_;
        window_->established_min = figures_.established.get();
        clock_offset_ = realtime_offset();
        capture(*at_start_);
        part_start_ = now_;
        echoes_at_part_ = at_start_->echoes;
    } else {
        close_part();
    }
    if (now_ >= cell_.traffic.window_end) {
        close_window();
    } else {
        edge_ = next_edge();
    }
}

// The first edge of a part after now, which lies inside the window: its end at the latest.
Nanoseconds Loop::next_edge() const noexcept {
    constexpr Nanoseconds kParts = WindowFigures::kParts;
    const Nanoseconds start = cell_.traffic.window_start;
    const Nanoseconds length = cell_.traffic.window_end - start;
    const Nanoseconds part = (now_ - start) * kParts / length + 1;
    return start + (length * part + kParts - 1) / kParts;
}

// The parts of the window show a rate that drifts inside it.
void Loop::close_part() {
    const std::uint64_t echoes = figures_.echoes.get();
    window_->parts.push_back({now_ - part_start_, echoes - echoes_at_part_});
    part_start_ = now_;
    echoes_at_part_ = echoes;
}

void Loop::close_window() {
    phase_ = Phase::none;
    edge_ = kNever;
    capture(window_->totals);
    window_->totals.subtract(*at_start_);
    window_->end = now_;
    window_->latency_max = latency_max_;
    window_->clock_step = realtime_offset() - clock_offset_;
    window_->missed_sends = window_->totals.dropped;
    if (cell_.open_loop && cell_.running) {
        window_->missed_sends +=
            missed_sends(cell_.schedule, window_->start, window_->end, cell_.issued, cell_.unsent);
    }
    figures_.publish(std::move(window_));
    at_start_.reset();
}

void Loop::capture(Totals& totals) const {
    totals.cpu = thread_cpu_ns();
    totals.blocked = blocked_;
    totals.spun = spun_;
    totals.loops = loops_;
    totals.sends = sends_;
    totals.echoes = figures_.echoes.get();
    totals.bytes = figures_.bytes.get();
    totals.lost = figures_.lost.get();
    totals.corrupt_bytes = figures_.corrupt_bytes.get();
    totals.dropped = cell_.dropped;
    totals.outstanding_time = outstanding_time_ + outstanding_ * (now_ - outstanding_since_);
    totals.latency_sum = latency_sum_;
    totals.errors = figures_.errors.copy();
    figures_.latency.copy_to(totals.latency);
    figures_.send_lag.copy_to(totals.send_lag);
    figures_.self_delay.copy_to(totals.self_delay);
    totals.cycles_failed = figures_.cycles_failed.get();
    figures_.cycle_connect.copy_to(totals.cycle_connect);
}

}  // namespace c10k
