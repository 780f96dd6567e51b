// A pool of threads, made beforehand: as many connections at a time as there are threads.
//
// How it waits: every thread blocks in accept, serves the one connection that it got until its end,
// and comes back for the next. The kernel wakes one of them per connection (an accept waits
// exclusively), so threads share the listening socket and nothing else.
//
// What it costs: per echo the same as a thread per connection, recv + send and a switch of threads.
// What it saves is making and ending a thread for each; and the memory is bounded beforehand.
//
// The trap: its size. The next client beyond it is connected by the kernel, waits in the listening
// socket's queue, and is served only when another connection ends. A pool suits short connections;
// idle ones occupy it. And accept reserves a descriptor before it blocks (__sys_accept4 in
// net/socket.c), so each thread holds one before the first client comes.
#include "../common/blocking.hpp"
#include "../common/listener.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using namespace c10k;

constexpr std::size_t threads_max = 256; // as variant.toml declares

struct Worker : Tally {
    std::atomic<int> fd = -1; // of the connection that it serves
};

class Pool {
public:
    explicit Pool(int listener) : listener_(listener) {}
    ~Pool() { stop(); }

    void start() {
        try {
            for (Worker& worker : workers_) {
                threads_.emplace_back([this, &worker] { work(worker); });
            }
        } catch (const std::system_error& error) {
            throw Fault(exit_runtime,
                        "cannot make " + std::to_string(threads_max) + " threads: " + error.what());
        }
    }

    void stop() {
        stopping_ = true;
        shutdown(listener_, SHUT_RD); // wakes all that wait in accept, now and later
        for (const Worker& worker : workers_) {
            // Shut down, a connection ends whatever its thread is in, or is about to be in. A
            // number that passes to another thread just now is one that is to end all the same.
            shutdown(worker.fd, SHUT_RDWR);
        }
        for (std::thread& thread : threads_) {
            thread.join();
        }
        threads_.clear();
    }

    // Throws Fault when it was the listener that ended the pool.
    Counters sum() const {
        if (accept_error_ != 0) {
            throw Fault(exit_runtime, std::string("accept: ") + std::strerror(accept_error_));
        }
        Counters sum;
        for (const Worker& worker : workers_) {
            worker.add_to(sum);
        }
        return sum;
    }

private:
    void work(Worker& worker) {
        while (!stopping_) {
            const Accept accept = accept_connection(listener_, 0);
            if (accept.result == Accepted::connection) {
                serve(worker, accept.fd);
            } else if (accept.result == Accepted::no_room) {
                std::this_thread::sleep_for(std::chrono::milliseconds(rest_ms));
            } else if (accept.result == Accepted::failed && !stopping_) {
                accept_error_ = errno;
                kill(getpid(), SIGTERM); // the main thread waits for nothing else
                return;
            }
        }
    }

    void serve(Worker& worker, int fd) {
        Tally::add(worker.accepted, 1);
        worker.fd = fd;
        if (!stopping_) { // asked after the store: stop() sees the one or this sees the other
            echo_until_over(fd, worker);
        }
        // Counted before the peer can see the end, so a peer that has seen it finds it counted.
        Tally::add(worker.closed, stopping_ ? 0 : 1);
        worker.fd = -1;
        close(fd);
    }

    const int listener_;
    std::atomic<bool> stopping_ = false;
    std::atomic<int> accept_error_ = 0;
    std::array<Worker, threads_max> workers_;
    std::vector<std::thread> threads_;
};

Counters serve(const Options& options) {
    const Listener listener(options, 0);
    Pool pool(listener.fd());
    pool.start();
    while (wait_for_signal() == Asked::counters) {
        print(pool.sum());
    }
    pool.stop();
    return pool.sum();
}

} // namespace

int main(int argc, char**) {
    return c10k::run_server(argc, serve);
}
