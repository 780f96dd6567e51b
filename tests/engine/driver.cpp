// Drives the engine natively against an echo server, for the sanitizers, and checks its pure parts
// by value. Prints what failed and exits with 1, or prints "ok".
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

#include "../../harness/engine/engine.hpp"
#include "../../harness/engine/null_server.hpp"
#include "../../harness/engine/overhead.hpp"

namespace {

using namespace c10k;

void check(bool condition, const char* what) {
    if (condition) return;
    std::printf("failed: %s\n", what);
    std::exit(1);
}

template <typename Condition>
void until(Condition condition, const char* what) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
        check(std::chrono::steady_clock::now() < deadline, what);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

// A blocking echo of whatever is ready, one connection after the other. The engine reads while it
// writes, so a send of at most one buffer always ends.
//
// A process and not a thread: the engine's thread has its own table of files, ThreadSanitizer knows
// of one per process, and would see races between descriptors that share no more than a number.
class EchoProcess {
public:
    EchoProcess() : shared_(make_shared()), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof name;
        auto* const raw = reinterpret_cast<sockaddr*>(&name);
        check(::bind(listener_, raw, size) == 0 && ::listen(listener_, 512) == 0, "listen");
        check(::getsockname(listener_, raw, &size) == 0, "getsockname");
        address_ = "tcp://127.0.0.1:" + std::to_string(ntohs(name.sin_port));
        child_ = ::fork();
        if (child_ == 0) run();
        ::close(listener_);
    }

    ~EchoProcess() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }

    const std::string& address() const { return address_; }
    std::uint64_t bytes() const { return shared_->bytes; }
    void hang_up_next() { shared_->hang_up = true; }

private:
    struct Shared {
        std::atomic<bool> hang_up{false};
        std::atomic<std::uint64_t> bytes{0};
    };

    static Shared* make_shared() {
        void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        check(memory != MAP_FAILED, "mmap");
        return new (memory) Shared;
    }

    [[noreturn]] void run() {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        std::vector<pollfd> fds{{listener_, POLLIN, 0}};
        std::vector<char> buffer(65536);
        while (true) {
            if (::poll(fds.data(), fds.size(), -1) <= 0) continue;
            for (std::size_t i = fds.size() - 1; i > 0; --i) {
                if (fds[i].revents == 0 || echo(fds[i].fd, buffer)) continue;
                ::close(fds[i].fd);
                fds.erase(fds.begin() + static_cast<std::ptrdiff_t>(i));
            }
            if (fds[0].revents == 0) continue;
            fds.push_back({::accept(listener_, nullptr, nullptr), POLLIN, 0});
        }
    }

    bool echo(int fd, std::vector<char>& buffer) {
        const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (size <= 0 || shared_->hang_up.exchange(false)) return false;
        shared_->bytes += static_cast<std::uint64_t>(size);
        return ::send(fd, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) == size;
    }

    Shared* shared_;
    int listener_;
    std::string address_;
    pid_t child_ = -1;
};

Traffic traffic(std::uint32_t active, std::uint32_t payload_bytes, std::uint32_t depth,
                double rate_per_s) {
    const Nanoseconds start = monotonic_ns() + 50 * kMillisecond;
    return {.active = active,
            .payload_bytes = payload_bytes,
            .depth = depth,
            .rate_per_s = rate_per_s,
            .seed = 1,
            .window_start = start,
            .window_end = start + 200 * kMillisecond,
            .spin = false,
            .stamps = depth == 2,
            .closing = Closing::none};
}

Traffic churn(std::uint32_t active, Closing closing) {
    Traffic cell = traffic(active, 64, 1, 0);
    cell.closing = closing;
    return cell;
}

void run_cell(Engine& engine, const Traffic& cell) {
    engine.start(cell);
    // Read everything while the engine writes it: what ThreadSanitizer is here for.
    until(
        [&] {
            const Counts latency = engine.figures().latency.copy();
            const auto named = Errors::named(engine.figures().errors.copy());
            return latency.percentile_us(0.99) < 60'000'001 && named.empty() &&
                   engine.figures().window() != nullptr;
        },
        "the window closes without an error");
    engine.stop();
    until([&] { return engine.figures().outstanding.get() == 0; }, "all replies come back");
    const auto window = engine.figures().window();
    check(window->totals.echoes > 0, "the window has echoes");
    check(window->totals.latency.total() == window->totals.echoes, "each echo has a latency");
    check(window->totals.corrupt_bytes == 0, "no byte is corrupt");
}

void run_engine() {
    EchoProcess server;
    Engine engine(server.address(), {"127.0.0.1", "127.0.0.2"}, {"127.0.0.3"}, 7, -1);
    std::thread opener([&engine] {
        for (int i = 0; i < 100; ++i) engine.open();
    });
    for (int i = 0; i < 100; ++i) engine.open();
    opener.join();
    const Figures& figures = engine.figures();
    until([&] { return figures.established.get() == 200; }, "all are established");
    check(figures.timeline.copy().back().second == 200, "the timeline ends at the last connection");

    run_cell(engine, traffic(50, 64, 1, 0));
    run_cell(engine, traffic(200, 64, 2, 0));
    run_cell(engine, traffic(3, 100'000, 4, 0));
    run_cell(engine, traffic(100, 64, 1, 3000));
    run_cell(engine, churn(20, Closing::fin));
    run_cell(engine, churn(20, Closing::rst));
    check(figures.established.get() == 200, "churn leaves the connections open");
    check(figures.cycles.get() > 0 && figures.cycles_failed.get() == 0, "its cycles are counted");
    check(figures.bytes_received.get() == server.bytes(), "the server counts the same bytes");

    engine.close(5);
    server.hang_up_next();
    engine.start(traffic(199, 64, 1, 0));
    until([&] { return figures.lost.get() == 1; }, "the lost one is noticed");
    check(figures.closed.get() == 1 && figures.established.get() == 198, "and counted apart");
    engine.ramp();
    engine.open();
    until([&] { return figures.established.get() == 199; }, "a connection during traffic");
    std::thread other([&engine] { engine.shutdown(); });
    engine.shutdown();
    other.join();
}

// Runs `body` in a process of its own: two threads with tables of files of their own in one process
// are what ThreadSanitizer cannot tell from a race.
template <typename Body>
void apart(Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
        body();
        std::_Exit(0);
    }
    int status = 0;
    check(::waitpid(child, &status, 0) == child && status == 0, "the other process ends well");
}

// A client that asks one connection after the other until the server has dropped three of them.
void call(const std::string& address) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int round = 0, dropped = 0; dropped < 3; ++round) {
        check(round < 100, "the server drops every third connection");
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        check(::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0, "connect");
        char data[64] = {1, 2, 3};
        check(::send(fd, data, sizeof data, MSG_NOSIGNAL) == sizeof data, "send");
        const ssize_t size = ::recv(fd, data, sizeof data, MSG_WAITALL);
        check(size == sizeof data || size <= 0, "all or nothing");
        if (size <= 0) ++dropped;
        ::close(fd);
    }
}

void run_null_server() {
    NullServer server({.corrupt_every_bytes = 100,
                       .drop_every_connections = 3,
                       .delay_every_replies = 2,
                       .delay = kMillisecond,
                       .delays = {},
                       .stop_at = monotonic_ns(),
                       .stop_for = 10 * kMillisecond},
                      -1);
    apart([&server] { call(server.address()); });
    server.shutdown();
    check(server.accepted.get() == 9 && server.dropped.get() == 3, "nine came, three went");
    check(server.delayed.get() == 3 && server.corrupted.get() == 3, "six echoes of 64 bytes");
    check(measure_overhead(-1).wakeup_lag.total() == 500, "each wait has a lag");
}

void check_schedule() {
    const OpenLoop schedule(1000, 3e6, 4);  // every 333.3 ns
    check(schedule.intended(0, 0) == 1000, "the first message is due at the base");
    check(schedule.intended(2, 5) == 1000 + 7333, "message j of slot i is number i + j * n");
    for (Nanoseconds time = 0; time < 20'000; ++time) {
        const std::uint64_t due = schedule.due_before(time);
        check(due == 0 || schedule.intended(due - 1) < time, "all of them are due before");
        check(schedule.intended(due) >= time, "and no more are");
    }
    // At 10,000 per second after 100 days the schedule is still exact.
    const OpenLoop slow(0, 1e4, 1);
    check(slow.intended(86'400'000'000) == 8'640'000 * kSecond, "no drift in 100 days");

    const OpenLoop even(0, 1e9, 1);  // message m is due at m ns
    check(missed_sends(even, 100, 200, 200, 0) == 0, "all were sent");
    check(missed_sends(even, 100, 200, 190, 3) == 13, "ten not issued and three not sent");
    check(missed_sends(even, 100, 200, 20, 5) == 100, "those before the window do not count");

    SendTimes times;
    times.reset(3, 5);
    for (std::uint32_t slot = 0; slot < 3; ++slot) {
        for (std::uint64_t j = 90; j < 95; ++j) times.at(slot, j) = Nanoseconds(slot * 1000 + j);
    }
    for (std::uint32_t slot = 0; slot < 3; ++slot) {
        for (std::uint64_t j = 90; j < 95; ++j) {
            check(times.at(slot, j) == Nanoseconds(slot * 1000 + j), "five times are kept apart");
        }
    }
}

void check_histogram() {
    std::size_t before = 0;
    for (std::uint64_t value = 1; value < 60'000'000; value += 1 + value / 500) {
        const std::size_t cell = hdr::cell_of(value);
        check(cell >= before && cell < hdr::kCells, "cells grow with the values");
        check(hdr::highest_us_of(cell) >= value, "a value lies below the top of its cell");
        check(hdr::cell_of(hdr::highest_us_of(cell)) == cell, "and the top in the cell");
        check(static_cast<double>(hdr::highest_us_of(cell) - value) <=
                  static_cast<double>(value) / 1000,
              "three digits");
        before = cell;
    }
    Histogram histogram;
    check(histogram.record(-5) && histogram.record(0) && histogram.record(1499), "about 1 us");
    check(histogram.record(60 * kSecond), "60 s are in range");
    check(!histogram.record(61 * kSecond), "61 s are not, and are clamped");
    const Counts counts = histogram.copy();
    check(counts.total() == 5 && counts.percentile_us(0.5) == 1, "three of five are 1 us");
    const std::uint64_t top = hdr::highest_us_of(hdr::cell_of(60'000'000));
    check(counts.percentile_us(1.0) == top, "the rest is at the top");
}

void check_pattern() {
    const std::uint8_t* const table = pattern::table();
    for (const std::size_t payload : std::initializer_list<std::size_t>{1, 7, 9, 3000}) {
        std::vector<std::uint8_t> whole(payload);
        std::vector<std::uint8_t> pieces(payload);
        const std::uint64_t header = pattern::header(3, 4);
        pattern::write(table, header, 0, whole.data(), payload);
        for (std::size_t at = 0, size = 1; at < payload; at += size, size = (size * 3) % 11 + 1) {
            size = std::min(size, payload - at);
            pattern::write(table, header, at, pieces.data() + at, size);
            check(pattern::matches(table, header, at, whole.data() + at, size), "a piece matches");
        }
        check(whole == pieces, "a message does not depend on how it is cut");
        whole[payload - 1] ^= 0x80;
        check(!pattern::matches(table, header, 0, whole.data(), payload), "a flip is noticed");
        check(pattern::count_wrong(table, header, 0, whole.data(), payload) == 1, "and counted");
    }
    check(pattern::header(1, 2) != pattern::header(2, 1), "key and sequence are not exchangeable");
}

}  // namespace

int main() {
    check_schedule();
    check_histogram();
    check_pattern();
    run_null_server();
    run_engine();
    std::puts("ok");
    return 0;
}
