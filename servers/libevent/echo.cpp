// libevent: one event base on level-triggered epoll, one event per connection.
//
// How it waits: event_base_dispatch calls epoll_wait, looks each descriptor up in a table, queues
// its events by priority, and calls their callbacks. Accepting is evconnlistener's.
//
// What it costs: per echo recv + send + 1/k of an epoll_wait, as with epoll-lt, and the queueing.
// The echo itself is common/connection.hpp: libevent reports ready descriptors, and the server
// reads and writes them. A bufferevent would write only in the loop's next round, so an echo would
// cost a wait and two changes of interest.
//
// The trap: an event is of a fixed kind, so to wait for writing is to take it off the base and to
// put it back as another one. The change list makes one epoll_ctl of both.
#include "../common/connection.hpp"
#include "../common/library.hpp"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <unistd.h>

#include <array>

namespace {

std::array<std::byte, c10k::buffer_bytes> buffer; // one for all: it is empty between two turns
c10k::Counters uncounted;

struct Client {
    c10k::Connection connection;
    event ready{};
    short interest = EV_READ;
};

void on_ready(evutil_socket_t fd, short what, void* argument);

void wait_for(Client& client, evutil_socket_t fd, short interest, event_base* base) {
    event_del(&client.ready);
    event_assign(&client.ready, base, fd, static_cast<short>(interest | EV_PERSIST), on_ready,
                 &client);
    event_add(&client.ready, nullptr);
    client.interest = interest;
}

void on_ready(evutil_socket_t fd, short, void* argument) {
    auto* client = static_cast<Client*>(argument);
    const c10k::Progress progress = client->connection.turn(fd, buffer, uncounted);
    if (progress == c10k::Progress::over) {
        event_del(&client->ready);
        close(fd);
        delete client;
        return;
    }
    const short interest = progress == c10k::Progress::blocked ? EV_WRITE : EV_READ;
    if (interest != client->interest) {
        wait_for(*client, fd, interest, event_get_base(&client->ready));
    }
}

void on_accept(evconnlistener* listener, evutil_socket_t fd, sockaddr*, int, void*) {
    auto* client = new Client;
    event_assign(&client->ready, evconnlistener_get_base(listener), fd, EV_READ | EV_PERSIST,
                 on_ready, client);
    event_add(&client->ready, nullptr);
}

void enable(evutil_socket_t, short, void* listener) {
    evconnlistener_enable(static_cast<evconnlistener*>(listener));
}

// No descriptor or no memory: a watched listener would report this again, without end.
void on_accept_error(evconnlistener* listener, void*) {
    evconnlistener_disable(listener);
    const timeval rest{0, c10k::rest_ms * 1000};
    event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, enable, listener, &rest);
}

void stop(evutil_socket_t, short, void* base) {
    event_base_loopbreak(static_cast<event_base*>(base));
}

void serve(const c10k::Listener& listening, const c10k::Options& options) {
    event_config* config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    event_base* base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == nullptr) {
        throw c10k::Fault(c10k::exit_runtime, "event_base_new_with_config failed");
    }
    for (const int signal : {SIGTERM, SIGINT}) {
        event_add(evsignal_new(base, signal, stop, base), nullptr);
    }
    evconnlistener* listener = evconnlistener_new(base, on_accept, nullptr, LEV_OPT_CLOSE_ON_EXEC,
                                                  options.backlog, listening.fd());
    if (listener == nullptr) {
        throw c10k::Fault(c10k::exit_runtime, "evconnlistener_new failed");
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    event_base_dispatch(base);
}

} // namespace

int main(int argc, char** argv) {
    return c10k::run_on_library(argc, argv, std::string("libevent ") + event_get_version(), serve);
}
