// EPOLLEXCLUSIVE: an event loop per processor, all with the same listening socket.
//
// How it waits: every loop is the level-triggered one of servers/epoll-lt, with an epoll set of its
// own; the listening socket is in all of them. A connection belongs to the loop that accepted it.
//
// What it costs: per echo the same as epoll-lt, on as many processors as there are loops. Without
// EPOLLEXCLUSIVE every new connection would wake every loop, and all but one would find nothing.
//
// The traps: the sets are asked in the order in which they were added, and the first whose loop
// sleeps is woken (__wake_up_common stops there), so with little to do the same loop accepts nearly
// all connections, and then serves them. The flag is also only a hint: a loop may wake up in vain.
// And the interest cannot be changed afterwards, only removed and added (epoll_ctl(2)).
#include "../common/epoll.hpp"
#include "../common/workers.hpp"

namespace {

using namespace c10k;

class ExclusiveEpoll : public Epoll {
public:
    bool add_shared(int fd) { return watch(fd, EPOLLEXCLUSIVE); }
};

Counters serve(const Options& options) {
    const Listener listener(options, SOCK_NONBLOCK);
    const std::vector<int> same(processor_count(), listener.fd());
    return serve_by_workers<ExclusiveEpoll>(same);
}

} // namespace

int main(int argc, char**) {
    return run_server(argc, serve);
}
