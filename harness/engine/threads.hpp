// Native threads: all signals blocked, minimal timer slack, optionally pinned to a CPU.
#pragma once

#include <functional>
#include <thread>

namespace c10k {

// Starts `run` in a thread that shows in top as `name` (at most 15 characters).
std::thread start_thread(const char* name, std::function<void()> run);

// std::invalid_argument if the process may not use that CPU.
void pin_thread(std::thread& thread, int cpu);

}  // namespace c10k
