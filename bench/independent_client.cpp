// A client that shares no code with the engine, as simple as it can be, to hold the engine against.
//
//   independent_client loop|spin PID HOST PORT CONNECTIONS WARMUP_S WINDOW_S
//   independent_client ping PID HOST PORT 1 WARMUP_S WINDOW_S
//
// loop: one epoll set, and per echo one recv and one send. It measures no latency, so it is the
// floor to compare the engine's cost with. spin: the same, but it polls, as the engine does in
// campaigns, so its rate is the one that the engine's must agree with: no server pays for waking
// it. ping: one blocking connection, and every round trip timed.
//
// PID is the server's. Prints one JSON object: echoes of the window, its CPU time on either side,
// how long connecting took, and the round trips of `ping`.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kMessage_bytes = 64;
constexpr int kEventsMax = 512;

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

double seconds(clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

int connect_to(const sockaddr_in& server) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) {
        die("connect");
    }
    return fd;
}

void send_message(int fd) {
    static const char message[kMessage_bytes] = {};
    if (::send(fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message) die("send");
}

// Edge-triggered, because that is the cheaper way for a client that always reads all there is.
int watch_all(const std::vector<int>& fds) {
    const int set = ::epoll_create1(0);
    for (const int fd : fds) {
        epoll_event event{EPOLLIN | EPOLLET, {.fd = fd}};
        if (::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
    }
    return set;
}

std::uint64_t echo_until(int set, int timeout_ms, double deadline) {
    static epoll_event events[kEventsMax];
    static char buffer[16 * 1024];
    std::uint64_t echoes = 0;
    while (seconds(CLOCK_MONOTONIC) < deadline) {
        const int count = ::epoll_wait(set, events, kEventsMax, timeout_ms);
        for (int i = 0; i < count; ++i) {
            const ssize_t size = ::recv(events[i].data.fd, buffer, sizeof buffer, MSG_DONTWAIT);
            // A message of 64 bytes to oneself arrives whole, or the count below would be wrong.
            if (size != static_cast<ssize_t>(kMessage_bytes)) die("recv");
            send_message(events[i].data.fd);
            ++echoes;
        }
    }
    return echoes;
}

// Round trips in µs of one message after another, each compared with what was sent.
std::vector<double> ping_until(int fd, double deadline) {
    std::vector<double> trips_us;
    char message[kMessage_bytes], reply[kMessage_bytes];
    for (double now = seconds(CLOCK_MONOTONIC); now < deadline;) {
        std::memset(message, static_cast<int>(trips_us.size() & 0xff), sizeof message);
        if (::send(fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message) die("send");
        if (::recv(fd, reply, sizeof reply, MSG_WAITALL) != sizeof reply) die("recv");
        const double then = seconds(CLOCK_MONOTONIC);
        if (std::memcmp(message, reply, sizeof reply) != 0) die("a wrong reply");
        trips_us.push_back((then - now) * 1e6);
        now = then;
    }
    return trips_us;
}

clockid_t server_clock;  // the CPU time of the server's process, all threads of it

struct Window {
    double start_s, cpu_s, server_cpu_s;
};

Window open_window() {
    return {seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID), seconds(server_clock)};
}

void print_window(const Window& window, std::uint64_t echoes, double connect_s) {
    const Window end = open_window();
    std::printf(
        "{\"echoes\": %llu, \"cpu_s\": %.9f, \"server_cpu_s\": %.9f, "
        "\"window_s\": %.9f, \"connect_s\": %.6f",
        static_cast<unsigned long long>(echoes), end.cpu_s - window.cpu_s,
        end.server_cpu_s - window.server_cpu_s, end.start_s - window.start_s, connect_s);
}

void print_trips(std::vector<double> trips_us) {
    const double sum_us = std::accumulate(trips_us.begin(), trips_us.end(), 0.0);
    std::sort(trips_us.begin(), trips_us.end());
    const auto count = static_cast<double>(trips_us.size());
    std::printf(", \"round_trip_us\": {\"mean\": %.3f, \"p50\": %.3f, \"p99\": %.3f}",
                sum_us / count, trips_us[static_cast<std::size_t>(count * 0.50)],
                trips_us[static_cast<std::size_t>(count * 0.99)]);
}

void ping(int fd, double warmup_s, double window_s, double connect_s) {
    ping_until(fd, seconds(CLOCK_MONOTONIC) + warmup_s);
    const Window window = open_window();
    std::vector<double> trips_us = ping_until(fd, window.start_s + window_s);
    if (trips_us.empty()) die("not one reply in the window");
    print_window(window, trips_us.size(), connect_s);
    print_trips(std::move(trips_us));
}

void loop(std::vector<int> fds, int set, int timeout_ms, double warmup_s, double window_s,
          double connect_s) {
    // In random order, as the engine does: in the order of opening, which a closed loop keeps for
    // ever, both kernels' structures would be walked in the order in which they lie in memory.
    std::shuffle(fds.begin(), fds.end(), std::mt19937(1));
    for (const int fd : fds) send_message(fd);
    echo_until(set, timeout_ms, seconds(CLOCK_MONOTONIC) + warmup_s);
    const Window window = open_window();
    const std::uint64_t echoes = echo_until(set, timeout_ms, window.start_s + window_s);
    print_window(window, echoes, connect_s);
}

}  // namespace

int main(int argc, char** argv) {
    const bool pings = argc > 1 && std::strcmp(argv[1], "ping") == 0;
    const bool spins = argc > 1 && std::strcmp(argv[1], "spin") == 0;
    if (argc != 8 || (!pings && !spins && std::strcmp(argv[1], "loop") != 0)) {
        std::fprintf(stderr,
                     "usage: %s loop|spin|ping PID HOST PORT CONNECTIONS WARMUP_S WINDOW_S\n",
                     argv[0]);
        return 2;
    }
    sockaddr_in server{};
    server.sin_family = AF_INET;
    server.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[4])));
    if (::inet_pton(AF_INET, argv[3], &server.sin_addr) != 1) die("HOST");
    errno = ::clock_getcpuclockid(std::atoi(argv[2]), &server_clock);
    if (errno != 0) die("PID");

    const double connecting = seconds(CLOCK_MONOTONIC);
    std::vector<int> fds(pings ? 1 : static_cast<std::size_t>(std::atoi(argv[5])));
    for (int& fd : fds) fd = connect_to(server);
    const int set = watch_all(fds);
    const double connect_s = seconds(CLOCK_MONOTONIC) - connecting;
    const double warmup_s = std::atof(argv[6]), window_s = std::atof(argv[7]);
    if (pings) {
        ping(fds.front(), warmup_s, window_s, connect_s);
    } else {
        constexpr int kSleep_ms = 100;
        loop(fds, set, spins ? 0 : kSleep_ms, warmup_s, window_s, connect_s);
    }
    std::puts("}");
    return 0;
}
