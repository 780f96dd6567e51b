#include "threads.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <utility>

namespace c10k {

// Threads inherit the signal mask. Only Python's main thread handles signals.
std::thread start_thread(const char* name, std::function<void()> run) {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread thread([name, body = std::move(run)] {
        ::prctl(PR_SET_NAME, name);
        // With the default slack the kernel may end a timed wait 50 us late and delay sends.
        ::prctl(PR_SET_TIMERSLACK, 1UL);
        body();
    });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread;
}

void pin_thread(std::thread& thread, int cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (cpu < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(cpu), &cpus);
    if (::pthread_setaffinity_np(thread.native_handle(), sizeof cpus, &cpus) != 0) {
        throw std::invalid_argument("cpu " + std::to_string(cpu) +
                                    ": not a CPU that this process may use");
    }
}

}  // namespace c10k
