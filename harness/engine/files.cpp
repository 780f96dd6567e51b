#include "files.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#ifndef SYS_close_range
#define SYS_close_range 436  // the same number on all architectures
#endif

namespace c10k {

namespace {

constexpr unsigned kCloseRangeUnshare = 1U << 1;  // linux/close_range.h
constexpr unsigned kFirst = STDERR_FILENO + 1;
constexpr unsigned kLast = ~0U;

bool close_all(unsigned first, unsigned last, unsigned flags) noexcept {
    return first > last || ::syscall(SYS_close_range, first, last, flags) == 0;
}

}  // namespace

void own_files(std::initializer_list<int> kept) {
    std::vector<unsigned> places(kept.begin(), kept.end());
    std::sort(places.begin(), places.end());
    // unshare(CLONE_FILES) would suffice, but container runtimes forbid it; they allow this call.
    if (!close_all(places.back() + 1, kLast, kCloseRangeUnshare)) return;
    unsigned first = kFirst;
    for (const unsigned place : places) {
        if (place > first) close_all(first, place - 1, 0);
        first = place + 1;
    }
}

}  // namespace c10k
