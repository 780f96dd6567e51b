// The engine as its callers see it: a thread, and calls that are safe from any other thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "figures.hpp"
#include "loop.hpp"
#include "mailbox.hpp"

namespace c10k {

class Engine {
public:
    // Starts the thread. `sources` are where connections come from, `cycle_sources` those of churn.
    // std::invalid_argument if an address or the CPU is invalid, std::system_error if the process
    // may open no more files.
    Engine(const std::string& address, const std::vector<std::string>& sources,
           const std::vector<std::string>& cycle_sources, std::uint64_t seed, int cpu);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    std::uint32_t open();                  // std::runtime_error after shutdown
    void close(std::uint32_t connection);  // unknown, or after shutdown: nothing
    void ramp();                           // these three wait for the engine thread
    void start(const Traffic& traffic);    // std::invalid_argument, std::runtime_error
    void stop();                           // after shutdown: nothing
    void shutdown();

    std::uint64_t requested() const noexcept { return mailbox_.opened(); }
    const Figures& figures() const noexcept { return figures_; }

private:
    Mailbox mailbox_;
    Figures figures_;
    Loop loop_;
    std::mutex stopping_;  // two threads may shut down at the same time
    std::thread thread_;
};

}  // namespace c10k
