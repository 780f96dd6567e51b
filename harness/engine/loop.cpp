#include "loop.hpp"

#include <algorithm>
#include <random>

#include "files.hpp"

namespace c10k {

namespace {

// Two engines never send the same bytes, even with equal seeds, so the engine detects a server that
// swaps their replies.
std::uint64_t unique_stream_seed() {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
}

}  // namespace

Loop::Loop(const Settings& settings, Mailbox& mailbox, Figures& figures)
    : settings_(settings),
      stream_seed_(unique_stream_seed()),
      mailbox_(mailbox),
      figures_(figures),
      table_(pattern::table()),
      buffer_(kReadBuffer_bytes) {
    figures_.timeline.clear();
    poller_.add(mailbox_.fd(), EPOLLIN, kMailboxTag);
}

void Loop::run() {
    own_files({mailbox_.fd(), poller_.fd()});
    while (!quit_) {
        wait_and_dispatch();
        connect_some();
        send_due();
    }
    for (const Connection& connection : connections_) close(number_of(connection));
}

// Every clock read of a Loop is a tick. So the first reading at or after an edge of the window
// crosses it, also in the middle of a batch of events.
Nanoseconds Loop::tick() {
    now_ = monotonic_ns();
    if (now_ >= edge_) [[unlikely]] {
        cross_edge();
    }
    return now_;
}

Nanoseconds Loop::timeout() const noexcept {
    Nanoseconds until = std::min(edge_, retry_at_);
    if (!to_connect_.empty()) return 0;
    if (cell_.running) {
        if (cell_.traffic.spin) return 0;
        if (cell_.open_loop) {
            until = std::min(until, cell_.schedule.intended(cell_.issued));
        } else if (cell_.issued < active_.size()) {
            return 0;
        }
    }
    return until == kNever ? kNever : until - now_;
}

void Loop::wait_and_dispatch() {
    const Nanoseconds before = tick();
    if (found_nothing_ && cell_.issued == issued_at_pass_) spun_ += before - pass_start_;
    pass_start_ = before;
    issued_at_pass_ = cell_.issued;
    const auto events = poller_.wait(timeout());
    found_nothing_ = events.empty() && cell_.running && cell_.traffic.spin;
    blocked_ += monotonic_ns() - before;
    ++loops_;
    tick();
    for (std::size_t i = 0; i < events.size(); ++i) {
        const std::uint64_t tag = events[i].data.u64;
        if (tag == kMailboxTag) {
            obey();
            continue;
        }
        if (i + 1 < events.size() && events[i + 1].data.u64 < connections_.size()) {
            __builtin_prefetch(&connections_[events[i + 1].data.u64], 1);
        }
        Connection& connection = connections_[tag];
        switch (connection.state) {
            case State::hello:
            case State::established: on_traffic(connection, events[i].events); break;
            case State::connecting: on_connecting(connection, events[i].events); break;
            case State::calling:
            case State::awaiting: on_cycle(connection, events[i].events); break;
            case State::requested:
            case State::pausing:
            case State::gone: break;
        }
    }
}

void Loop::obey() {
    mailbox_.drain(commands_);
    for (const Command& command : commands_) obey(command);
    commands_.clear();
}

void Loop::obey(const Command& command) {
    if (command.call == nullptr) {
        carry_out(command);
        return;
    }
    try {
        carry_out(command);
    } catch (...) {
        command.call->error = std::current_exception();
    }
    mailbox_.finish(*command.call);
}

void Loop::carry_out(const Command& command) {
    switch (command.kind) {
        case Command::Kind::open: open(command.connection); break;
        case Command::Kind::close: close(command.connection); break;
        case Command::Kind::ramp: reset_ramp(); break;
        case Command::Kind::start: start(command.call->traffic); break;
        case Command::Kind::stop: stop(); break;
        case Command::Kind::quit: quit_ = true; break;
    }
}

}  // namespace c10k
