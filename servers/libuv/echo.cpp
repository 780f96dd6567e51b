// libuv: one loop on level-triggered epoll, one stream per connection.
//
// How it waits: uv_run calls epoll_wait, finds each descriptor's watcher in a table, and reads into
// a buffer that the user gives before it calls back with what was read.
//
// What it costs: per echo recv + send + 1/k of an epoll_wait. uv_try_write sends at once what the
// socket takes; a uv_write is for the rest. Where a read filled its buffer, libuv reads again, up
// to 32 times, before the others have their turn (uv__read in src/unix/stream.c).
//
// The trap: without a free descriptor libuv accepts and closes all that wait in the queue, by a
// descriptor that it keeps for that (uv__emfile_trick): they are refused, and nothing spins.
#include "../common/library.hpp"

#include <uv.h>

#include <algorithm>
#include <array>
#include <memory>

namespace {

std::array<char, c10k::buffer_bytes> buffer; // one for all: it is empty between two callbacks

struct Client {
    uv_any_handle handle{};
    uv_write_t write{};
    std::unique_ptr<char[]> owed;

    uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&handle); }
};

Client* client_of(uv_stream_t* stream) {
    return static_cast<Client*>(stream->data);
}

void finish(uv_stream_t* stream) {
    auto* handle = reinterpret_cast<uv_handle_t*>(stream);
    if (uv_is_closing(handle) == 0) {
        uv_close(handle, [](uv_handle_t* closed) { delete static_cast<Client*>(closed->data); });
    }
}

void give_buffer(uv_handle_t*, std::size_t, uv_buf_t* to) {
    *to = uv_buf_init(buffer.data(), static_cast<unsigned>(buffer.size()));
}

void on_read(uv_stream_t* stream, ssize_t received, const uv_buf_t*);

void on_written(uv_write_t* write, int status) {
    Client* client = client_of(write->handle);
    client->owed.reset();
    if (status < 0 || uv_read_start(client->stream(), give_buffer, on_read) != 0) {
        finish(client->stream());
    }
}

// A peer that does not read is not read from, so a connection never owes more than one buffer.
void owe(Client& client, const char* bytes, std::size_t count) {
    uv_read_stop(client.stream());
    client.owed = std::make_unique_for_overwrite<char[]>(count);
    std::copy_n(bytes, count, client.owed.get());
    const uv_buf_t rest = uv_buf_init(client.owed.get(), static_cast<unsigned>(count));
    if (uv_write(&client.write, client.stream(), &rest, 1, on_written) != 0) {
        finish(client.stream());
    }
}

void on_read(uv_stream_t* stream, ssize_t received, const uv_buf_t*) {
    if (received < 0) {
        return finish(stream); // at the peer's end nothing is owed: reading goes on only then
    }
    const uv_buf_t bytes = uv_buf_init(buffer.data(), static_cast<unsigned>(received));
    const int sent = received > 0 ? uv_try_write(stream, &bytes, 1) : 0;
    if (sent < 0 && sent != UV_EAGAIN) {
        return finish(stream);
    }
    const auto taken = static_cast<std::size_t>(std::max(sent, 0));
    const auto count = static_cast<std::size_t>(received);
    if (taken < count) {
        owe(*client_of(stream), buffer.data() + taken, count - taken);
    }
}

int init(uv_loop_t* loop, uv_any_handle& handle, bool is_path) {
    return is_path ? uv_pipe_init(loop, &handle.pipe, 0) : uv_tcp_init(loop, &handle.tcp);
}

void on_connection(uv_stream_t* listener, int status) {
    if (status < 0) {
        return; // it stays queued, or was refused: the next event says more
    }
    auto* client = new Client;
    init(listener->loop, client->handle, listener->type == UV_NAMED_PIPE);
    client->stream()->data = client;
    if (uv_accept(listener, client->stream()) != 0 ||
        uv_read_start(client->stream(), give_buffer, on_read) != 0) {
        finish(client->stream());
    }
}

void require(int result, const char* call) {
    if (result != 0) {
        throw c10k::Fault(c10k::exit_runtime, std::string(call) + ": " + uv_strerror(result));
    }
}

void serve(const c10k::Listener& listening, const c10k::Options& options) {
    uv_loop_t loop;
    require(uv_loop_init(&loop), "uv_loop_init");
    std::array<uv_signal_t, 2> signals{};
    constexpr std::array numbers{SIGTERM, SIGINT};
    for (std::size_t i = 0; i < signals.size(); ++i) {
        require(uv_signal_init(&loop, &signals[i]), "uv_signal_init");
        const auto stop = [](uv_signal_t* signal, int) { uv_stop(signal->loop); };
        require(uv_signal_start(&signals[i], stop, numbers[i]), "uv_signal_start");
    }
    uv_any_handle listener{};
    const bool is_path = options.address.ss_family == AF_UNIX;
    require(init(&loop, listener, is_path), "init");
    require(is_path ? uv_pipe_open(&listener.pipe, listening.fd())
                    : uv_tcp_open(&listener.tcp, listening.fd()),
            "open");
    auto* stream = reinterpret_cast<uv_stream_t*>(&listener);
    require(uv_listen(stream, options.backlog, on_connection), "uv_listen");
    uv_run(&loop, UV_RUN_DEFAULT);
}

} // namespace

int main(int argc, char** argv) {
    return c10k::run_on_library(argc, argv, std::string("libuv ") + uv_version_string(), serve);
}
