// io_uring: the server requests operations, and the kernel returns results instead of readiness.
//
// How it waits: an accept, and a recv per connection, are requested once and repeat themselves
// (multishot). Data arrives in a chunk that the kernel takes from a common pool at that moment, so
// a connection that waits holds none. Each result is answered with a send, and one io_uring_enter
// hands over all new requests and waits for results.
//
// What it costs: per echo 1/k of an io_uring_enter for k results, and no other system call; within
// it the sockets do the same work as for recv and send, and the requests cost some more.
//
// The traps: the kernel keeps reading. So the server must cancel the recv of a peer that does not
// take its echo, or that peer drains the pool. A recv that finds the pool empty ends (ENOBUFS), and
// the server must request it again. And two sends of a connection may overtake each other, so each
// connection has one send at a time.
#include "../common/completions.hpp"
#include "peer.hpp"
#include "pool.hpp"

namespace {

using namespace c10k;

class Server : public Completions<Server> {
public:
    // One thread submits and takes results, and only when it waits: the kernel need not interrupt.
    static constexpr unsigned setup_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;

    Server(int listener, Control& control) : Completions(listener, control), pool_(ring_) {}

    static void prepare_accept(io_uring_sqe* sqe, int listener) {
        io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
    }

    void opened(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= peers_.size()) {
            peers_.resize(index + 1);
        }
        peers_[index] = Peer();
        go_on(fd, peers_[index]);
    }

    void received(const Result& result) {
        Peer& peer = peers_[static_cast<std::size_t>(result.fd)];
        if ((result.flags & IORING_CQE_F_MORE) == 0) {
            peer.receiving = false;
        }
        if (result.value > 0) {
            counters_.bytes_in += static_cast<std::uint64_t>(result.value);
            const auto chunk = static_cast<unsigned short>(result.flags >> IORING_CQE_BUFFER_SHIFT);
            echo(result.fd, peer, chunk, static_cast<std::size_t>(result.value));
        } else if (result.value == 0) {
            peer.finished = true;
        } else if (result.value != -ENOBUFS && result.value != -ECANCELED) {
            peer.broken = true;
        }
        go_on(result.fd, peer);
    }

    void sent(const Result& result) {
        Peer& peer = peers_[static_cast<std::size_t>(result.fd)];
        peer.sending = false;
        const bool full = result.value == -EAGAIN || result.value == -EINTR;
        peer.broken = peer.broken || (result.value < 0 && !full);
        const std::size_t size = result.value > 0 ? static_cast<std::size_t>(result.value) : 0;
        counters_.bytes_out += size;
        if (peer.chunk_size > 0) {
            const auto left = pool_.bytes(peer.chunk, peer.chunk_size).subspan(size);
            peer.owed.insert(peer.owed.begin(), left.begin(), left.end());
            pool_.give_back(peer.chunk);
            peer.chunk_size = 0;
        } else if ((peer.copy_sent += size) == peer.copy.size()) {
            peer.copy = {};
            peer.copy_sent = 0;
        }
        go_on(result.fd, peer);
    }

    // It may have failed: the recv was just at work. Then it is asked for again.
    void cancelled(const Result& result) {
        Peer& peer = peers_[static_cast<std::size_t>(result.fd)];
        peer.cancelling = false;
        go_on(result.fd, peer);
    }

private:
    void echo(int fd, Peer& peer, unsigned short chunk, std::size_t size) {
        const auto bytes = pool_.bytes(chunk, size);
        if (peer.sending || peer.broken) {
            peer.owed.reserve(owed_bytes_max); // once: growing in steps would leave holes behind
            peer.owed.insert(peer.owed.end(), bytes.begin(), bytes.end());
            return pool_.give_back(chunk);
        }
        peer.chunk = chunk;
        peer.chunk_size = size;
        send(fd, peer, bytes, MSG_DONTWAIT);
    }

    void send(int fd, Peer& peer, std::span<const std::byte> bytes, int flags) {
        peer.sending = true;
        ring_.request(Request::send, fd, [&](io_uring_sqe* sqe) {
            io_uring_prep_send(sqe, fd, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
        });
    }

    // After every result: whatever is to be requested now.
    void go_on(int fd, Peer& peer) {
        if (!peer.sending && !peer.broken) {
            if (peer.copy.empty() && !peer.owed.empty()) {
                peer.copy.swap(peer.owed);
            }
            if (!peer.copy.empty()) {
                send(fd, peer, std::span(peer.copy).subspan(peer.copy_sent), 0);
            }
        }
        const bool ended = peer.finished || peer.broken;
        if (!peer.receiving && !ended && !peer.owes_much()) {
            receive(fd, peer);
        } else if (peer.receiving && !peer.cancelling && (peer.broken || peer.owes_much())) {
            peer.cancelling = true;
            ring_.cancel(Request::receive, fd);
        } else if (ended && !peer.receiving && !peer.sending && !peer.cancelling) {
            peers_[static_cast<std::size_t>(fd)] = Peer();
            finish(fd);
        }
    }

    void receive(int fd, Peer& peer) {
        peer.receiving = true;
        ring_.request(Request::receive, fd, [fd](io_uring_sqe* sqe) {
            io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
            sqe->flags |= IOSQE_BUFFER_SELECT;
            sqe->buf_group = Pool::group;
        });
    }

    Pool pool_;
    std::vector<Peer> peers_; // by descriptor
};

} // namespace

int main(int argc, char**) {
    return run_completions<Server>(argc);
}
