#include "mailbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace c10k {

Mailbox::Mailbox() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Mailbox::~Mailbox() { ::close(fd_); }

bool Mailbox::push(Command command) {
    if (closed_) return false;
    commands_.push_back(command);
    if (command.kind == Command::Kind::quit) closed_ = true;
    if (signalled_) return true;
    signalled_ = true;
    const std::uint64_t one = 1;
    // It cannot fail: the counter is 0 or 1, far from the value that would block.
    [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
    return true;
}

std::optional<std::uint32_t> Mailbox::post_open() {
    const std::lock_guard lock(mutex_);
    const auto number = static_cast<std::uint32_t>(opened_.get());
    if (!push({Command::Kind::open, number})) return std::nullopt;
    opened_.add(1);
    return number;
}

bool Mailbox::post(Command command) {
    const std::lock_guard lock(mutex_);
    return push(command);
}

bool Mailbox::call(Command::Kind kind, const Traffic& traffic) {
    Call call{traffic, nullptr, false};
    std::unique_lock lock(mutex_);
    if (!push({kind, 0, &call})) return false;
    finished_.wait(lock, [&call] { return call.done; });
    if (call.error) std::rethrow_exception(call.error);
    return true;
}

void Mailbox::drain(std::vector<Command>& commands) {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
    if (!signalled_) return;
    signalled_ = false;
    std::uint64_t count = 0;
    [[maybe_unused]] const auto taken = ::read(fd_, &count, sizeof count);
}

void Mailbox::finish(Call& call) {
    const std::lock_guard lock(mutex_);
    call.done = true;
    finished_.notify_all();
}

}  // namespace c10k
