// The engine thread: one epoll set, its connections, and the cell that runs on them.
//
// Rule 1: only the engine thread touches a Loop. Other threads post commands to the Mailbox and
//         read the Figures.
// Rule 2: after start() the path of a message never allocates, locks or calls epoll_ctl (except for
//         a full socket buffer).
// Rule 3: connection numbers are never used again. An event that was fetched before its connection
//         ended finds State::gone, never another connection.
//
// Churn is the exception: there a number outlives many sockets. Churn closes a socket only while it
// handles the socket's own event, or between two waits, so the batch holds no event of it.
//
// loop.cpp waits, dispatches and carries out commands; connecting.cpp opens and closes connections;
// traffic.cpp is the hot path; churn.cpp runs churn; cell.cpp starts, stops and measures cells;
// stamps.cpp reads the kernel's receive time stamps.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "address.hpp"
#include "connection.hpp"
#include "figures.hpp"
#include "mailbox.hpp"
#include "outbox.hpp"
#include "poller.hpp"
#include "schedule.hpp"

namespace c10k {

struct Settings {
    Address server;
    std::vector<Address> sources;        // empty: the kernel chooses
    std::vector<Address> cycle_sources;  // of churn; the same
    std::uint64_t seed = 0;
};

class Loop {
public:
    Loop(const Settings& settings, Mailbox& mailbox, Figures& figures);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    void run();  // until a quit command; closes everything

private:
    struct Cell {
        Traffic traffic;
        bool running = false;
        bool open_loop = false;
        std::uint64_t number = 0;   // makes the streams of each cell different
        OpenLoop schedule;          // open loop
        SendTimes sent;             // closed loop
        std::uint64_t issued = 0;   // messages in open loop, connections started in closed loop
        std::size_t slot = 0;       // the connection whose turn it is
        std::uint64_t unsent = 0;   // messages issued and not yet in the socket's buffer
        std::uint64_t dropped = 0;  // messages due that never will be sent
    };
    enum class Phase : std::uint8_t { none, before, inside };
    struct Trouble {
        Stage stage = Stage::socket;
        int code = 0;  // 0: none
    };

    // loop.cpp
    void wait_and_dispatch();
    Nanoseconds timeout() const noexcept;
    Nanoseconds tick();
    void obey();
    void obey(const Command& command);
    void carry_out(const Command& command);

    // connecting.cpp
    void open(std::uint32_t number);
    void close(std::uint32_t number);
    void reset_ramp();
    void connect_some();
    void begin_connect(Connection& connection);
    Trouble prepare_socket(Connection& connection, const Address* source);
    void try_connect(Connection& connection);
    int call_server(const Connection& connection);
    void retry_later(const Connection& connection);
    static int pending_error(int fd) noexcept;
    void on_connecting(Connection& connection, std::uint32_t events);
    void on_hello_answered(Connection& connection);
    void fail(Connection& connection, Stage stage, int code);
    void lose(Connection& connection, int code, Stage stage = Stage::read);
    void release(Connection& connection);
    std::uint32_t number_of(const Connection& connection) const noexcept;

    // churn.cpp
    void begin_churn();
    void begin_cycle(Connection& connection);
    void try_cycle(Connection& connection);
    void retry_cycle(Connection& connection);
    void on_cycle(Connection& connection, std::uint32_t events);
    void end_cycle(Connection& connection);
    void fail_cycle(Connection& connection, Stage stage, int code);
    void give_up(Connection& connection);
    void count_connect(Connection& connection);
    void hang_up(Connection& connection);

    // traffic.cpp
    void on_traffic(Connection& connection, std::uint32_t events);
    std::uint64_t receive(Connection& connection, bool to_the_end);
    bool verify(Connection& connection, std::size_t size, std::uint64_t& completed);
    void settle(Connection& connection, std::uint64_t completed);
    void issue(Connection& connection, std::uint64_t count);
    void flush(Connection& connection);
    void advance(Connection& connection, std::size_t sent);
    void change_outstanding(std::int64_t change) noexcept;

    // cell.cpp
    void start(const Traffic& traffic);
    void choose_active(const Traffic& traffic);
    void stop();
    void send_due();
    void send_first();
    void send_scheduled();
    void cross_edge();
    Nanoseconds next_edge() const noexcept;
    void close_part();
    void capture(Totals& totals) const;
    void close_window();

    // stamps.cpp
    void use_stamps(bool on);
    ssize_t read_stamped(int fd);

    static constexpr std::uint64_t kMailboxTag = ~std::uint64_t{0};
    // Limits of the work between two waits: connects, and sends of the schedule. More would delay
    // the handling of events, and the latencies would contain that delay.
    static constexpr int kConnectsPerLoop = 64;
    static constexpr int kSendsPerLoop = 64;
    // A closed loop starts in the warm-up, where latencies do not count yet. All its connections
    // must have sent before the window opens.
    static constexpr int kFirstSendsPerLoop = 1024;
    static constexpr int kRetry = -1;  // in place of an errno
    static constexpr std::size_t kReadBuffer_bytes = 128 * 1024;

    const Settings settings_;
    const std::uint64_t stream_seed_;
    Mailbox& mailbox_;
    Figures& figures_;
    const std::uint8_t* const table_;
    Poller poller_;
    Outbox outbox_;
    std::vector<std::uint8_t> buffer_;
    std::vector<Connection> connections_;
    std::vector<std::uint32_t> active_;  // slot -> connection
    std::vector<Command> commands_;
    bool quit_ = false;

    std::deque<std::uint32_t> to_connect_;
    std::deque<std::uint32_t> to_retry_;  // unix sockets whose server's backlog was full
    Nanoseconds retry_at_ = kNever;

    std::uint64_t cycles_begun_ = 0;  // takes the sources of churn in turn

    Cell cell_;
    Nanoseconds now_ = 0;        // the last clock read
    Nanoseconds edge_ = kNever;  // the next edge of the window or of a part of it
    Nanoseconds part_start_ = 0;
    std::uint64_t echoes_at_part_ = 0;
    Phase phase_ = Phase::none;
    std::unique_ptr<Totals> at_start_;
    std::shared_ptr<WindowFigures> window_;  // being measured
    Nanoseconds latency_max_ = 0;
    Nanoseconds blocked_ = 0;
    Nanoseconds spun_ = 0;
    Nanoseconds pass_start_ = 0;
    std::uint64_t issued_at_pass_ = 0;
    bool found_nothing_ = false;  // in this pass's wait, which did not sleep
    std::uint64_t loops_ = 0;
    std::uint64_t sends_ = 0;
    std::int64_t latency_sum_ = 0;
    std::int64_t outstanding_ = 0;
    std::int64_t outstanding_time_ = 0;
    Nanoseconds outstanding_since_ = 0;
    Nanoseconds clock_offset_ = 0;  // CLOCK_REALTIME - CLOCK_MONOTONIC
};

}  // namespace c10k
