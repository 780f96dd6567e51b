// Commands from Python's threads to the engine thread: a small locked queue, and an eventfd that
// wakes epoll_wait. Only the cold path uses it (open, close, start, stop); traffic takes no lock.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <vector>

#include "clock.hpp"
#include "counter.hpp"

namespace c10k {

// How a connection ends in churn: in order, or by a reset that leaves nothing in TIME_WAIT.
enum class Closing : std::uint8_t { none, fin, rst };

// One cell's traffic.
struct Traffic {
    std::uint32_t active = 0;         // connections
    std::uint32_t payload_bytes = 0;  // per message
    std::uint32_t depth = 1;          // closed loop: outstanding messages per connection
    double rate_per_s = 0.0;          // > 0: open loop, messages per second over all connections
    std::uint64_t seed = 0;           // chooses the active connections
    Nanoseconds window_start = 0;
    Nanoseconds window_end = 0;
    bool spin = false;                // poll instead of sleeping while the cell runs
    bool stamps = false;              // kernel receive time stamps, for the self-delay
    Closing closing = Closing::none;  // otherwise churn: a new connection for each message

    bool churns() const noexcept { return closing != Closing::none; }
};

// A request whose caller waits until the engine thread has carried it out.
struct Call {
    Traffic traffic;           // of start
    std::exception_ptr error;  // set when the engine refused
    bool done = false;
};

struct Command {
    enum class Kind : std::uint8_t { open, close, ramp, start, stop, quit };
    Kind kind;
    std::uint32_t connection = 0;  // of open and close
    Call* call = nullptr;          // of ramp, start and stop
};

class Mailbox {
public:
    Mailbox();  // std::system_error if the kernel gives no eventfd
    ~Mailbox();
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;

    int fd() const noexcept { return fd_; }

    // For any thread. After quit was posted they do nothing and return false or no value.
    // Asks for one more connection; its number is 0, 1, 2, …
    std::optional<std::uint32_t> post_open();
    bool post(Command command);
    // Waits for the engine thread; throws what it refused with.
    bool call(Command::Kind kind, const Traffic& traffic = {});

    // Number of connections requested, including those that the engine has not seen yet.
    std::uint64_t opened() const noexcept { return opened_.get(); }

    // Engine thread. Swaps the waiting commands into `commands`, which must be empty.
    void drain(std::vector<Command>& commands);
    void finish(Call& call);

private:
    bool push(Command command);

    int fd_;
    std::mutex mutex_;
    std::condition_variable finished_;
    std::vector<Command> commands_;
    Counter opened_;
    bool closed_ = false;     // quit was posted
    bool signalled_ = false;  // the eventfd is set: 10,000 opens in a row wake the engine once
};

}  // namespace c10k
