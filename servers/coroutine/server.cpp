// C++20 coroutines on the level-triggered epoll loop: what does the abstraction cost?
//
// How it waits: as servers/epoll-lt does, with the same loop and the same mechanism. What differs
// is how a connection is written: as a function that reads from top to bottom, like that of a
// thread, and is suspended where a thread would block. What epoll-lt keeps in a structure between
// two events (common/connection.hpp) is here in the coroutine's frame: its variables, and where it
// was.
//
// What it costs: the same system calls per echo, and a resume, which is an indirect call that the
// compiler cannot see through. Per connection one allocation, the frame, less than 200 bytes.
//
// The traps: the frame holds every variable that lives across a suspension. A buffer of 16 KiB in
// echo() would cost every idle connection 16 KiB, so the loop owns the buffer, and it is empty at
// every suspension. And each frame needs an owner: a frame that is never resumed is never freed.
#include "../common/epoll.hpp"

#include <coroutine>
#include <exception>
#include <new>
#include <utility>

namespace {

using namespace c10k;

// A coroutine that yields how it gets on at the end of each turn; the frame belongs to this object.
class Coroutine {
public:
    struct promise_type {
        Progress progress = Progress::more;

        Coroutine get_return_object() { return Coroutine(Handle::from_promise(*this)); }
        // That it exists makes the allocation of the frame the one that does not throw.
        static Coroutine get_return_object_on_allocation_failure() { return {}; }
        std::suspend_always initial_suspend() noexcept { return {}; } // until its first turn
        std::suspend_always final_suspend() noexcept { return {}; }   // until it is destroyed
        std::suspend_always yield_value(Progress made) noexcept {
            progress = made;
            return {};
        }
        void return_void() noexcept { progress = Progress::over; }
        void unhandled_exception() noexcept { std::terminate(); } // nothing in it throws
    };
    using Handle = std::coroutine_handle<promise_type>;

    Coroutine() = default;
    explicit Coroutine(Handle frame) : frame_(frame) {}
    Coroutine(Coroutine&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    Coroutine& operator=(Coroutine&& other) noexcept {
        Coroutine(std::move(other)).swap(*this);
        return *this;
    }
    ~Coroutine() {
        if (frame_) {
            frame_.destroy();
        }
    }

    void swap(Coroutine& other) noexcept { std::swap(frame_, other.frame_); }
    bool exists() const { return static_cast<bool>(frame_); }

    Progress resume() {
        frame_.resume();
        return frame_.promise().progress;
    }

private:
    Handle frame_;
};

// What a peer has not taken yet, outside of the buffer that all connections share.
std::unique_ptr<std::byte[]> copy_of(std::span<const std::byte> bytes) {
    std::unique_ptr<std::byte[]> copy(new (std::nothrow) std::byte[bytes.size()]);
    if (copy) {
        std::copy(bytes.begin(), bytes.end(), copy.get());
    }
    return copy;
}

// A connection, from its first byte to its last. Level-triggered: one read per turn.
Coroutine echo(int fd, std::span<std::byte> buffer, Counters& counters) {
    for (;;) {
        const ssize_t received = recv(fd, buffer.data(), buffer.size(), 0);
        if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR)) {
            co_return;
        }
        if (received < 0) {
            co_yield errno == EAGAIN ? Progress::drained : Progress::more;
            continue;
        }
        counters.bytes_in += static_cast<std::uint64_t>(received);
        std::span<const std::byte> left = buffer.first(static_cast<std::size_t>(received));
        ssize_t sent = send_some(fd, left, counters);
        if (sent < 0) {
            co_return;
        }
        left = left.subspan(static_cast<std::size_t>(sent));
        if (!left.empty()) {
            const std::unique_ptr<std::byte[]> owed = copy_of(left);
            if (!owed) {
                co_return; // no memory for this peer: the others are served on
            }
            left = {owed.get(), left.size()};
            while (!left.empty()) {
                co_yield Progress::blocked;
                sent = send_some(fd, left, counters);
                if (sent < 0) {
                    co_return;
                }
                left = left.subspan(static_cast<std::size_t>(sent));
            }
        }
        co_yield Progress::more;
    }
}

class Conversation {
public:
    Progress turn(int fd, std::span<std::byte> buffer, Counters& counters) {
        if (!coroutine_.exists()) {
            coroutine_ = echo(fd, buffer, counters);
        }
        return coroutine_.exists() ? coroutine_.resume() : Progress::over;
    }

private:
    Coroutine coroutine_;
};

} // namespace

int main(int argc, char**) {
    return run_event_loop<Epoll, Conversation>(argc);
}
