#include "engine.hpp"

#include <cmath>
#include <stdexcept>

#include "threads.hpp"

namespace c10k {

namespace {

constexpr std::uint32_t kDepthMax = 4096;
constexpr const char* kShutDown = "the engine was shut down";

Settings settings_of(const std::string& address, const std::vector<std::string>& sources,
                     const std::vector<std::string>& cycle_sources, std::uint64_t seed) {
    Settings settings;
    settings.server = parse_address(address);
    settings.sources = parse_sources(sources, settings.server);
    settings.cycle_sources = parse_sources(cycle_sources, settings.server);
    settings.seed = seed;
    return settings;
}

void expect(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

void check(const Traffic& traffic) {
    const bool open_loop = traffic.rate_per_s > 0;
    expect(traffic.active >= 1, "active must be at least 1");
    expect(traffic.payload_bytes >= 1 && traffic.payload_bytes <= kPayloadMax_bytes,
           "payload_bytes must be from 1 to 1048576");
    expect(traffic.depth >= 1 && traffic.depth <= kDepthMax, "depth must be from 1 to 4096");
    expect(std::isfinite(traffic.rate_per_s) && traffic.rate_per_s >= 0,
           "rate_per_s must be 0 (closed loop) or a positive number");
    expect(!open_loop || traffic.depth == 1, "depth belongs to the closed loop: rate_per_s is set");
    expect(!traffic.churns() || (!open_loop && traffic.depth == 1 && !traffic.stamps),
           "closing makes a connection for each message: no rate_per_s, depth or stamps beside it");
    expect(traffic.window_start < traffic.window_end,
           "window_end_ns must come after window_start_ns");
}

}  // namespace

Engine::Engine(const std::string& address, const std::vector<std::string>& sources,
               const std::vector<std::string>& cycle_sources, std::uint64_t seed, int cpu)
    : loop_(settings_of(address, sources, cycle_sources, seed), mailbox_, figures_),
      thread_(start_thread("c10k-engine", [this] { loop_.run(); })) {
    if (cpu < 0) return;
    try {
        pin_thread(thread_, cpu);
    } catch (...) {
        shutdown();  // the destructor of an object that was never finished does not run
        throw;
    }
}

Engine::~Engine() { shutdown(); }

std::uint32_t Engine::open() {
    const auto number = mailbox_.post_open();
    if (!number) throw std::runtime_error(kShutDown);
    return *number;
}

void Engine::close(std::uint32_t connection) { mailbox_.post({Command::Kind::close, connection}); }

void Engine::ramp() {
    if (!mailbox_.call(Command::Kind::ramp)) throw std::runtime_error(kShutDown);
}

void Engine::start(const Traffic& traffic) {
    check(traffic);
    if (!mailbox_.call(Command::Kind::start, traffic)) throw std::runtime_error(kShutDown);
}

void Engine::stop() { mailbox_.call(Command::Kind::stop); }

void Engine::shutdown() {
    const std::lock_guard lock(stopping_);
    if (mailbox_.post({Command::Kind::quit})) thread_.join();
}

}  // namespace c10k
