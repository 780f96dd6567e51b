// select: the set of descriptors is a bitmap, and each call overwrites it with its answer.
//
// How it waits: one bit per descriptor, one bitmap per kind of event. The kernel asks each
// descriptor whose bit is set, puts the caller on the wait queue of each if none is ready, and
// leaves the bits of those that are.
//
// What it costs: every call is proportional to the *highest* descriptor watched, and because the
// answer replaces the question, both bitmaps are copied before each call. That is little: 10,000
// descriptors are 157 words; asking each of them is what costs. There is no other call. Per echo:
// recv + send + 1/k of a select that reports k.
//
// The trap: fd_set. glibc's type ends at descriptor 1,023, and FD_SET of 1,024 writes behind it (or
// aborts, with _FORTIFY_SOURCE). The kernel has no such limit: it reads `nfds` bits.
// So the bitmaps here are our own and grow; servers/select-fdset shows the other way.
#include "../common/loop.hpp"

#include <sys/select.h>

#include <bit>
#include <climits>

namespace {

using c10k::Want;

// The kernel's own layout: bit fd % 64 of word fd / 64 (of 32 where a long has 32 bits).
using Word = unsigned long;
constexpr std::size_t word_bits = sizeof(Word) * CHAR_BIT;

class Bitmap {
public:
    void set(std::size_t bit) { words_[bit / word_bits] |= mask(bit); }
    void clear(std::size_t bit) { words_[bit / word_bits] &= ~mask(bit); }
    bool has(std::size_t bit) const { return (words_[bit / word_bits] & mask(bit)) != 0; }
    Word word(std::size_t index) const { return words_[index]; }

    void hold(std::size_t bit) {
        if (bit / word_bits >= words_.size()) {
            words_.resize(bit / word_bits + 1);
        }
    }
    void copy(const Bitmap& from, std::size_t words) {
        words_.resize(from.words_.size());
        std::copy_n(from.words_.begin(), words, words_.begin());
    }
    // The type is glibc's, the size is ours: the call only passes the address on.
    fd_set* for_select() { return reinterpret_cast<fd_set*>(words_.data()); }

private:
    static Word mask(std::size_t bit) { return Word{1} << bit % word_bits; }
    std::vector<Word> words_;
};

class Select {
public:
    // One: what is left in the socket is reported again by the next call.
    static constexpr int turns_max = 1;

    bool add(int fd) {
        const auto bit = static_cast<std::size_t>(fd);
        read_.hold(bit);
        write_.hold(bit);
        read_.set(bit);
        bits_ = std::max(bits_, bit + 1);
        return true;
    }

    void want(int fd, Want want) {
        const auto bit = static_cast<std::size_t>(fd);
        (want == Want::write ? write_ : read_).set(bit);
        (want == Want::write ? read_ : write_).clear(bit);
    }

    void remove(int fd) {
        read_.clear(static_cast<std::size_t>(fd));
        write_.clear(static_cast<std::size_t>(fd));
        while (bits_ > 0 && !read_.has(bits_ - 1) && !write_.has(bits_ - 1)) {
            --bits_; // the highest one left: no call should ask for more
        }
    }

    std::span<const int> wait(int timeout_ms) {
        const std::size_t words = (bits_ + word_bits - 1) / word_bits;
        readable_.copy(read_, words);
        writable_.copy(write_, words);
        timeval timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
        const int returned =
            select(static_cast<int>(bits_), readable_.for_select(), writable_.for_select(), nullptr,
                   timeout_ms < 0 ? nullptr : &timeout);
        ready_.clear();
        // After an error the bitmaps still hold the question; with a count of 0 they are not read.
        if (c10k::wait_count(returned, "select") > 0) {
            for (std::size_t index = 0; index < words; ++index) {
                collect(readable_.word(index) | writable_.word(index), index * word_bits);
            }
        }
        return ready_;
    }

private:
    void collect(Word word, std::size_t first_bit) {
        for (; word != 0; word &= word - 1) { // clears the lowest bit that is set
            const auto bit = static_cast<std::size_t>(std::countr_zero(word));
            ready_.push_back(static_cast<int>(first_bit + bit));
        }
    }

    Bitmap read_, write_;        // the question
    Bitmap readable_, writable_; // the answer
    std::size_t bits_ = 0;       // one more than the highest descriptor watched
    std::vector<int> ready_;
};

} // namespace

int main(int argc, char**) {
    return c10k::run_event_loop<Select>(argc);
}
