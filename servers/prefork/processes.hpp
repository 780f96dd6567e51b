// The parent's part: it forks the workers, replaces those that die, ends them, and adds up what
// they have counted.
#pragma once

#include "../common/blocking.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <new>
#include <thread>

namespace c10k {

template <std::size_t processes_max>
class Processes {
public:
    // What a worker does, in its own process; the result is its exit code: 0, or the error of the
    // call that it cannot go on without.
    using Work = int (*)(int listener, Tally& tally);

    // Throws Fault, also when there is no room for all of them.
    Processes(int listener, Work work) : listener_(listener), work_(work) {
        void* shared = mmap(nullptr, sizeof *tallies_, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED) {
            throw failed("mmap");
        }
        tallies_ = new (shared) Tallies;
        sigset_t children;
        sigemptyset(&children);
        sigaddset(&children, SIGCHLD);
        sigprocmask(SIG_BLOCK, &children, nullptr);
        ended_ = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
        for (std::size_t index = 0; index < processes_max; ++index) {
            if (!start(index)) {
                const Fault fault = failed("fork");
                stop();
                throw fault;
            }
        }
    }
    ~Processes() { stop(); }
    Processes(const Processes&) = delete;
    Processes& operator=(const Processes&) = delete;

    int ended_descriptor() const { return ended_; } // is readable when a worker has ended

    // Replaces a worker that was killed. A worker that could not go on ends the server, because the
    // next worker would fail in the same way.
    // Throws Fault.
    void replace_ended() {
        signalfd_siginfo news;
        while (read(ended_, &news, sizeof news) > 0) {
        }
        int status = 0;
        for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
            const auto place = std::find(pids_.begin(), pids_.end(), pid);
            *place = 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
                errno = WEXITSTATUS(status);
                throw failed("accept");
            }
            const auto index = static_cast<std::size_t>(place - pids_.begin());
            Tally& tally = (*tallies_)[index];
            tally.closed = tally.accepted.load(); // what it had open, the kernel closed
            start(index);
        }
    }

    void stop() {
        signal_all(SIGTERM);
        shutdown(listener_, SHUT_RD); // wakes all that wait in accept, or are about to
        const auto deadline = std::chrono::steady_clock::now() + stop_time_max;
        while (running() > 0 && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        signal_all(SIGKILL);
        while (wait(nullptr) > 0) {
        }
    }

    Counters sum() const {
        Counters sum;
        for (const Tally& tally : *tallies_) {
            tally.add_to(sum);
        }
        return sum;
    }

private:
    using Tallies = std::array<Tally, processes_max>;

    static constexpr std::chrono::milliseconds stop_time_max{1500}; // of the 2 s that are allowed

    static Fault failed(const char* call) {
        return Fault(exit_runtime, std::string(call) + ": " + std::strerror(errno));
    }

    bool start(std::size_t index) {
        const pid_t parent = getpid();
        const pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); // else the workers outlive a killed parent
            _exit(getppid() == parent ? work_(listener_, (*tallies_)[index]) : 0);
        }
        pids_[index] = std::max(pid, 0);
        return pid > 0;
    }

    void signal_all(int signal) const {
        for (const pid_t pid : pids_) {
            if (pid > 0) {
                kill(pid, signal);
            }
        }
    }

    // How many run still; those that do not are gone afterwards.
    std::size_t running() {
        for (pid_t& pid : pids_) {
            if (pid > 0 && waitpid(pid, nullptr, WNOHANG) == pid) {
                pid = 0;
            }
        }
        return processes_max - static_cast<std::size_t>(std::count(pids_.begin(), pids_.end(), 0));
    }

    const int listener_;
    const Work work_;
    Tallies* tallies_ = nullptr; // shared by all the processes
    int ended_ = -1;
    std::array<pid_t, processes_max> pids_{};
};

} // namespace c10k
