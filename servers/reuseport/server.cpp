// SO_REUSEPORT: an event loop per processor, each with a listening socket of its own.
//
// How it waits: every loop is the level-triggered one of servers/epoll-lt. All listening sockets
// have the same address; for each new connection the kernel chooses one of them by a hash of both
// ends' addresses and ports (reuseport_select_sock), so loops share no queue and no lock.
//
// What it costs: per echo the same as epoll-lt, on as many processors as there are loops.
//
// The traps: the hash ignores the load. With few connections one loop may have most of them while
// another idles. A connection in a busy loop's queue stays there, and is reset if its listening
// socket closes. And any process of the same user may join the address and take its share of the
// clients, so a second copy of the server would take half of them. Hence the first socket is bound
// before it allows sharing, and the kernel refuses a second server on the port as usual.
#include "../common/epoll.hpp"
#include "../common/workers.hpp"

namespace {

using namespace c10k;

Counters serve(const Options& options) {
    const std::size_t count = processor_count();
    std::deque<Listener> listeners;
    if (options.address.ss_family == AF_UNIX) {
        // A path names one socket: there the loops share it.
        listeners.emplace_back(options, SOCK_NONBLOCK);
        return serve_by_workers<Epoll>(std::vector<int>(count, listeners.front().fd()));
    }
    std::vector<int> descriptors;
    for (std::size_t i = 0; i < count; ++i) {
        listeners.emplace_back(options, SOCK_NONBLOCK, i == 0 ? Port::founded : Port::joined);
        descriptors.push_back(listeners.back().fd());
    }
    return serve_by_workers<Epoll>(descriptors);
}

} // namespace

int main(int argc, char**) {
    return run_server(argc, serve);
}
