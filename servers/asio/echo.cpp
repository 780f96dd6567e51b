// Asio: one io_context on edge-triggered epoll, one session object per connection.
//
// How it waits: async_read_some tries recv at once, and only when the socket is empty leaves the
// operation with the descriptor; epoll_wait, when it reports the descriptor, queues the operation,
// and run() calls its handler.
//
// What it costs: per echo recv + send + a recv that finds nothing + 1/k of an epoll_wait, and the
// queueing of a handler. Each connection has a buffer of its own, as a read that is under way needs
// one; its pages are there as far as they were written to.
//
// The trap: by default every operation locks a mutex, and an executor of any kind is called by a
// virtual function. With one thread neither is needed: a hint and a type say so.
#include "../common/library.hpp"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <utility>

namespace {

using asio::error_code;
using Protocol = asio::generic::stream_protocol; // TCP and unix alike
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<Protocol, Executor>;
using Acceptor = asio::basic_socket_acceptor<Protocol, Executor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;

// Owned by the handler of the operation that it waits for; the last handler to end closes it.
struct Session {
    explicit Session(Socket accepted) : socket(std::move(accepted)) {}

    Socket socket;
    std::array<char, c10k::buffer_bytes> buffer;
};

void read(std::unique_ptr<Session> owned);

void on_read(std::unique_ptr<Session> owned, std::size_t received) {
    Session& session = *owned;
    error_code error;
    const auto bytes = asio::buffer(session.buffer, received);
    const std::size_t sent = session.socket.write_some(bytes, error);
    if (error && error != asio::error::would_block) {
        return;
    }
    if (sent == received) {
        return read(std::move(owned));
    }
    // A peer that does not read is not read from: the next read begins when all is written.
    asio::async_write(session.socket, bytes + sent,
                      [owned = std::move(owned)](error_code failed, std::size_t) mutable {
                          if (!failed) {
                              read(std::move(owned));
                          }
                      });
}

void read(std::unique_ptr<Session> owned) {
    Session& session = *owned;
    session.socket.async_read_some(
        asio::buffer(session.buffer),
        [owned = std::move(owned)](error_code ended, std::size_t received) mutable {
            if (!ended) {
                on_read(std::move(owned), received);
            }
        });
}

class Server {
public:
    Server(asio::io_context& context, const c10k::Listener& listening, int family)
        : acceptor_(context, Protocol(family, 0), listening.fd()), rest_(context) {
        accept();
    }

    // The descriptor is the listener's.
    ~Server() { acceptor_.release(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

private:
    void accept() {
        acceptor_.async_accept([this](error_code error, Socket socket) {
            if (error) {
                return pause();
            }
            socket.non_blocking(true, error);
            read(std::make_unique<Session>(std::move(socket)));
            accept();
        });
    }

    // No descriptor or no memory: the connection stays queued, to ask again at once would spin.
    void pause() {
        rest_.expires_after(std::chrono::milliseconds(c10k::rest_ms));
        rest_.async_wait([this](error_code error) {
            if (!error) {
                accept();
            }
        });
    }

    Acceptor acceptor_;
    Timer rest_;
};

void serve(const c10k::Listener& listening, const c10k::Options& options) {
    asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
    asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&context](error_code, int) { context.stop(); });
    const Server server(context, listening, options.address.ss_family);
    context.run();
}

} // namespace

int main(int argc, char** argv) {
    constexpr int version = ASIO_VERSION;
    return c10k::run_on_library(argc, argv,
                                "Asio " + std::to_string(version / 100'000) + "." +
                                    std::to_string(version / 100 % 1000) + "." +
                                    std::to_string(version % 100),
                                serve);
}
