// The Python face of the engine: argument names, docstrings, and figures as dicts.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "engine.hpp"
#include "null_server.hpp"
#include "overhead.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace c10k {

namespace {

nb::bytes encoded(const Counts& counts) {
    const std::string payload = counts.encode();
    return nb::bytes(payload.data(), payload.size());
}

nb::dict to_dict(const NamedCounts& named) {
    nb::dict dict;
    for (const auto& [name, count] : named) dict[name.c_str()] = count;
    return dict;
}

nb::dict ramp_dict(const Figures& figures) {
    nb::list timeline;
    for (const auto& [elapsed_ms, established] : figures.timeline.copy()) {
        nb::list point;
        point.append(elapsed_ms);
        point.append(established);
        timeline.append(point);
    }
    nb::dict ramp;
    ramp["first_connect_ns"] = figures.ramp_first_connect.get();
    ramp["last_established_ns"] = figures.ramp_last_established.get();
    ramp["connect_histogram"] = encoded(figures.connect.copy());
    ramp["hello_histogram"] = encoded(figures.hello.copy());
    ramp["timeline"] = timeline;
    return ramp;
}

nb::dict status_dict(const Engine& engine) {
    const Figures& figures = engine.figures();
    // Read before its addends: once no connection is connecting, the other counters are final.
    const std::uint64_t settled = figures.settled.get();
    nb::dict status;
    status["requested"] = engine.requested();
    status["connecting"] = engine.requested() - settled;
    status["established"] = figures.established.get();
    status["lost"] = figures.lost.get();
    status["closed"] = figures.closed.get();
    status["failed"] = figures.failed.get();
    status["errors"] = to_dict(Errors::named(figures.errors.copy()));
    status["corrupt_bytes"] = figures.corrupt_bytes.get();
    status["cycles"] = figures.cycles.get();
    status["cycles_failed"] = figures.cycles_failed.get();
    status["outstanding"] = figures.outstanding.get();
    status["echoes"] = figures.hellos.get() + figures.echoes.get();
    status["bytes_sent"] = figures.bytes_sent.get();
    status["bytes_received"] = figures.bytes_received.get();
    status["running"] = figures.running.get() != 0;
    status["window_closed"] = figures.window() != nullptr;
    status["cell_echoes"] = figures.echoes.get() - figures.echoes_at_start.get();
    status["ramp"] = ramp_dict(figures);
    return status;
}

nb::list parts_list(const WindowFigures& window) {
    nb::list parts;
    for (const WindowFigures::Part& each : window.parts) {
        nb::list part;
        part.append(each.length);
        part.append(each.echoes);
        parts.append(part);
    }
    return parts;
}

nb::dict window_dict(const WindowFigures& window) {
    const Totals& totals = window.totals;
    nb::dict dict;
    dict["start_ns"] = window.start;
    dict["end_ns"] = window.end;
    dict["echoes"] = totals.echoes;
    dict["parts"] = parts_list(window);
    dict["bytes"] = totals.bytes;
    dict["established_min"] = window.established_min;
    dict["lost"] = totals.lost;
    dict["errors"] = to_dict(Errors::named(totals.errors));
    dict["corrupt_bytes"] = totals.corrupt_bytes;
    dict["histogram"] = encoded(totals.latency);
    dict["latency_sum_ns"] = totals.latency_sum;
    dict["latency_max_ns"] = window.latency_max;
    dict["count"] = totals.latency.total();
    dict["cpu_ns"] = totals.cpu;
    dict["blocked_ns"] = totals.blocked;
    dict["spun_ns"] = totals.spun;
    dict["loops"] = totals.loops;
    dict["sends"] = totals.sends;
    dict["missed_sends"] = window.missed_sends;
    dict["send_lag_histogram"] = encoded(totals.send_lag);
    if (window.stamps) {
        dict["self_delay_histogram"] = encoded(totals.self_delay);
    } else {
        dict["self_delay_histogram"] = nb::none();
    }
    if (window.churns) {
        dict["connect_histogram"] = encoded(totals.cycle_connect);
    } else {
        dict["connect_histogram"] = nb::none();
    }
    dict["cycles_failed"] = totals.cycles_failed;
    dict["clock_step_ns"] = window.clock_step;
    dict["outstanding_time_ns"] = totals.outstanding_time;
    return dict;
}

Closing closing_of(const std::optional<std::string>& name) {
    if (!name) return Closing::none;
    if (*name == "fin") return Closing::fin;
    if (*name == "rst") return Closing::rst;
    throw std::invalid_argument("closing must be 'fin' or 'rst', or None");
}

// Keeps the dict of the last window, so that the next call is cheap and returns the same object.
class PythonEngine {
public:
    PythonEngine(const std::string& address, const std::vector<std::string>& sources,
                 const std::vector<std::string>& cycle_sources, std::uint64_t seed, int cpu)
        : engine_(address, sources, cycle_sources, seed, cpu) {}

    std::uint32_t open() { return engine_.open(); }
    void close(std::uint32_t connection) { engine_.close(connection); }
    void ramp() { engine_.ramp(); }
    void stop() { engine_.stop(); }
    void shutdown() { engine_.shutdown(); }

    void start(std::uint32_t active, std::uint32_t payload_bytes, std::uint32_t depth,
               double rate_per_s, std::uint64_t seed, Nanoseconds window_start_ns,
               Nanoseconds window_end_ns, bool spin, bool stamps,
               const std::optional<std::string>& closing) {
        told_ = Counts{};  // the engine's own counts start anew as well
        engine_.start({.active = active,
                       .payload_bytes = payload_bytes,
                       .depth = depth,
                       .rate_per_s = rate_per_s,
                       .seed = seed,
                       .window_start = window_start_ns,
                       .window_end = window_end_ns,
                       .spin = spin,
                       .stamps = stamps,
                       .closing = closing_of(closing)});
    }

    nb::dict status() const { return status_dict(engine_); }

    nb::object window() {
        const auto window = engine_.figures().window();
        if (window != shown_) {
            shown_ = window;
            dict_ = window ? nb::object(window_dict(*window)) : nb::none();
        }
        return dict_;
    }

    // {latency in us: count} of the replies since the last call; few entries, so cheap to merge.
    nb::dict live() {
        Counts now = engine_.figures().latency.copy();
        nb::dict fresh;
        for (std::size_t cell = 0; cell < hdr::kCells; ++cell) {
            const std::uint64_t count = now[cell] - told_[cell];
            if (count != 0) fresh[nb::int_(hdr::highest_us_of(cell))] = count;
        }
        told_ = std::move(now);
        return fresh;
    }

private:
    Engine engine_;
    Counts told_;
    std::shared_ptr<const WindowFigures> shown_;
    nb::object dict_ = nb::none();
};

constexpr const char* kClassDoc =
    R"(Opens connections to one echo server and drives traffic over them, from one native thread.

address: tcp://127.0.0.1:7000, tcp://[::1]:7000 or unix:///path.
sources: local IPv4 addresses to connect from, used round robin; needed where ports would run out.
cycle_sources: the same for the connections that churn makes.
seed: chooses the active connections, together with the seed of start().
cpu: the CPU that the engine's thread is pinned to; negative: not pinned.
Raises ValueError for a bad address, source or CPU, RuntimeError when no file can be opened.)";

constexpr const char* kOpenDoc =
    R"(Ask for one more connection and return its number: 0, 1, 2, … Never waits.

It counts as established once the verified echo of a 64-byte hello is back.
Raises RuntimeError after shutdown().)";

constexpr const char* kCloseDoc =
    R"(Close that connection. Never waits; does nothing when it is unknown or gone.)";

constexpr const char* kRampDoc =
    R"(Zero the connect and hello histograms and the ramp's clock.

The next open() starts the ramp. Raises RuntimeError after shutdown().)";

constexpr const char* kStartDoc =
    R"(Begin the traffic of one cell at once and record the replies of its window.

active: number of established connections that carry traffic, a seeded random choice.
payload_bytes: size of each message, 1 to 1,048,576.
depth: closed loop: messages outstanding per connection, 1 to 4,096.
rate_per_s: 0: closed loop. Positive: open loop at that many messages per second over all active
    connections; latency then counts from the intended send time.
window_start_ns, window_end_ns: CLOCK_MONOTONIC; the window is [start, end). A start in the past
    opens it at once.
spin: never sleep while the cell runs: no wake-up delays a send or a reply, and the CPU is busy.
stamps: have the kernel stamp what arrives, to record the self-delay; costs 4 to 10 %.
closing: "fin" or "rst": churn. Each active connection is replaced by a new one for each message,
    and ended in order or by a reset; latency then counts from connect() to the echo. The last one
    of each stays open. A cycle that fails is counted and tried again. Closed loop of depth 1 only.
Waits for the engine's thread, for some milliseconds at most. Raises RuntimeError when a cell is
running or replies of the last one are outstanding, ValueError for arguments out of range.)";

constexpr const char* kStopDoc =
    R"(Send no more; replies that are outstanding are still received, verified and recorded.)";

constexpr const char* kStatusDoc =
    R"(Return a snapshot of all counters, at any time; see harness.engine.EngineStatus.)";

constexpr const char* kLiveDoc =
    R"(Return the replies since the previous call, or since start(): {latency in us: replies}.

Warm-up included. For progress: a result comes from window().)";

constexpr const char* kWindowDoc =
    R"(The closed window's figures, or None until the clock has passed its end.

The same object until the next start(). See harness.engine.Window.)";

constexpr const char* kShutdownDoc = R"(Stop the thread and close every connection. Idempotent.)";

constexpr const char* kNullDoc =
    R"(An echo server on a free port of 127.0.0.1, in one native thread.

Faults, none by default, to compare the reports of an engine with the truth:
corrupt_every_bytes: flip a bit of every n-th byte.
drop_every_connections: close every n-th connection instead of its first echo.
delay_every_replies, delay_ns: hold every n-th reply back for that time.
delays_ns: hold each reply back; these are used in turn, again and again.
stop_at_ns, stop_for_ns: pause at that time of CLOCK_MONOTONIC, for that long.
cpu: the CPU that its thread is pinned to; negative: not pinned.
Raises ValueError for a bad CPU, RuntimeError when no file can be opened.)";

constexpr const char* kCountsDoc =
    R"(Return its counters: accepted, dropped, corrupted and delayed.)";

constexpr const char* kOverheadDoc =
    R"(Return the cost of measuring: (ns per clock read, histogram of the wake-up lag).

The lag is how late a timed wait of 0.4 ms ends. Takes about a quarter of a second.)";

nb::dict counts_of(const NullServer& server) {
    nb::dict dict;
    dict["accepted"] = server.accepted.get();
    dict["dropped"] = server.dropped.get();
    dict["corrupted"] = server.corrupted.get();
    dict["delayed"] = server.delayed.get();
    return dict;
}

nb::tuple overhead(int cpu) {
    Overhead measured;
    {
        const nb::gil_scoped_release unlocked;
        measured = measure_overhead(cpu);
    }
    return nb::make_tuple(measured.clock_read_ns, encoded(measured.wakeup_lag));
}

void make_null_server(NullServer* place, std::uint64_t corrupt_every_bytes,
                      std::uint64_t drop_every_connections, std::uint64_t delay_every_replies,
                      Nanoseconds delay_ns, std::vector<Nanoseconds> delays_ns,
                      Nanoseconds stop_at_ns, Nanoseconds stop_for_ns, int cpu) {
    new (place) NullServer({.corrupt_every_bytes = corrupt_every_bytes,
                            .drop_every_connections = drop_every_connections,
                            .delay_every_replies = delay_every_replies,
                            .delay = delay_ns,
                            .delays = std::move(delays_ns),
                            .stop_at = stop_at_ns,
                            .stop_for = stop_for_ns},
                           cpu);
}

}  // namespace

}  // namespace c10k

NB_MODULE(_engine, module) {
    using c10k::PythonEngine;
    // Calls that may wait for the engine's thread let other Python threads run meanwhile.
    using Unlocked = nb::call_guard<nb::gil_scoped_release>;
    module.doc() = "The native load engine; import Engine from harness.engine.";
    module.attr("WINDOW_PARTS") = c10k::WindowFigures::kParts;
    nb::class_<PythonEngine>(module, "Engine", c10k::kClassDoc)
        .def(nb::init<const std::string&, const std::vector<std::string>&,
                      const std::vector<std::string>&, std::uint64_t, int>(),
             "address"_a, nb::kw_only(), "sources"_a = nb::make_tuple(),
             "cycle_sources"_a = nb::make_tuple(), "seed"_a = 0, "cpu"_a = -1)
        .def("open", &PythonEngine::open, c10k::kOpenDoc)
        .def("close", &PythonEngine::close, "connection"_a, c10k::kCloseDoc)
        .def("ramp", &PythonEngine::ramp, Unlocked(), c10k::kRampDoc)
        .def("start", &PythonEngine::start, nb::kw_only(), "active"_a, "payload_bytes"_a,
             "depth"_a = 1, "rate_per_s"_a = 0.0, "seed"_a = 0, "window_start_ns"_a,
             "window_end_ns"_a, "spin"_a = false, "stamps"_a = false, "closing"_a = nb::none(),
             Unlocked(), c10k::kStartDoc)
        .def("stop", &PythonEngine::stop, Unlocked(), c10k::kStopDoc)
        .def("status", &PythonEngine::status, c10k::kStatusDoc)
        .def("live", &PythonEngine::live, c10k::kLiveDoc)
        .def("window", &PythonEngine::window, c10k::kWindowDoc)
        .def("shutdown", &PythonEngine::shutdown, Unlocked(), c10k::kShutdownDoc);
    using c10k::NullServer;
    nb::class_<NullServer>(module, "NullServer", c10k::kNullDoc)
        .def("__init__", &c10k::make_null_server, nb::kw_only(), "corrupt_every_bytes"_a = 0,
             "drop_every_connections"_a = 0, "delay_every_replies"_a = 0, "delay_ns"_a = 0,
             "delays_ns"_a = nb::make_tuple(), "stop_at_ns"_a = 0, "stop_for_ns"_a = 0,
             "cpu"_a = -1)
        .def_prop_ro("address", &NullServer::address, "Where it listens, as Engine takes it.")
        .def("counts", &c10k::counts_of, c10k::kCountsDoc)
        .def("shutdown", &NullServer::shutdown, Unlocked(), c10k::kShutdownDoc);
    module.def("measure_overhead", &c10k::overhead, "cpu"_a = -1, c10k::kOverheadDoc);
}
