// io_uring as a first attempt uses it: one request per operation, each followed by the next.
//
// How it waits: an accept is requested, and requested again when it has given a connection; for a
// connection one recv, then one send of what came, then the next recv. io_uring_enter hands over
// what was requested and waits for results, as in servers/io-uring.
//
// What it costs: per echo 1/k of an io_uring_enter for k results, and two requests, each prepared,
// submitted, and answered by a result of its own. The recv mostly finds no data, so the kernel sets
// up a poll and tries again. The ring has the default settings: the kernel interrupts this thread
// to finish requests that have become ready.
//
// The trap: a recv that waits has its buffer already, for as long as it waits. So every idle
// connection has 16 KiB of address space, and a page or two of memory once something has come.
#include "../common/completions.hpp"

#include <memory>
#include <new>

namespace {

using namespace c10k;

struct Peer {
    std::unique_ptr<std::byte[]> buffer;
    std::size_t received = 0;
    std::size_t sent = 0; // of these
};

class Server : public Completions<Server> {
public:
    static constexpr unsigned setup_flags = 0;

    Server(int listener, Control& control) : Completions(listener, control) {}

    static void prepare_accept(io_uring_sqe* sqe, int listener) {
        io_uring_prep_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
    }

    void opened(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= peers_.size()) {
            peers_.resize(index + 1);
        }
        Peer& peer = peers_[index];
        peer.buffer.reset(new (std::nothrow) std::byte[buffer_bytes]);
        if (!peer.buffer) {
            return finish(fd); // no memory for this peer: the others are served on
        }
        receive(fd, peer);
    }

    void received(const Result& result) {
        Peer& peer = peers_[static_cast<std::size_t>(result.fd)];
        if (result.value == -EINTR) {
            return receive(result.fd, peer);
        }
        if (result.value <= 0) {
            return end(result.fd, peer);
        }
        counters_.bytes_in += static_cast<std::uint64_t>(result.value);
        peer.received = static_cast<std::size_t>(result.value);
        peer.sent = 0;
        send(result.fd, peer);
    }

    void sent(const Result& result) {
        Peer& peer = peers_[static_cast<std::size_t>(result.fd)];
        if (result.value < 0 && result.value != -EINTR) {
            return end(result.fd, peer);
        }
        const std::size_t size = result.value > 0 ? static_cast<std::size_t>(result.value) : 0;
        counters_.bytes_out += size;
        peer.sent += size;
        if (peer.sent < peer.received) {
            return send(result.fd, peer);
        }
        receive(result.fd, peer);
    }

    void cancelled(const Result&) {} // nothing ever is

private:
    void receive(int fd, Peer& peer) {
        ring_.request(Request::receive, fd, [&](io_uring_sqe* sqe) {
            io_uring_prep_recv(sqe, fd, peer.buffer.get(), buffer_bytes, 0);
        });
    }

    void send(int fd, Peer& peer) {
        ring_.request(Request::send, fd, [&](io_uring_sqe* sqe) {
            io_uring_prep_send(sqe, fd, peer.buffer.get() + peer.sent, peer.received - peer.sent,
                               MSG_NOSIGNAL);
        });
    }

    void end(int fd, Peer& peer) {
        peer.buffer.reset();
        finish(fd);
    }

    std::vector<Peer> peers_; // by descriptor
};

} // namespace

int main(int argc, char**) {
    return run_completions<Server>(argc);
}
