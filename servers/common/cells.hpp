// Counters for servers whose connections run in many threads.
//
// If all threads added to one atomic counter per message, that addition would be the most expensive
// instruction of such a server. Here each descriptor number has its own cell; sum() adds the cells
// up on request. One thread at a time owns a number (close returns it to the kernel, accept takes
// it again), so a cell has one writer.
#pragma once

#include "blocking.hpp"

#include <deque>
#include <mutex>

namespace c10k {

struct Cell : Tally {
    explicit Cell(int descriptor) : fd(descriptor) {}

    const int fd;
    std::atomic<bool> open = false;
};

// Grown by the accepting thread; a cell's address never changes, so threads may keep it. The lock
// is between growing and adding up: no echo takes it.
class Cells {
public:
    Cell& at(int fd) {
        const std::lock_guard lock(growing_);
        while (cells_.size() <= static_cast<std::size_t>(fd)) {
            cells_.emplace_back(static_cast<int>(cells_.size()));
        }
        return cells_[static_cast<std::size_t>(fd)];
    }

    // Calls action(cell) for each open connection and returns how many there were.
    template <typename Action>
    std::size_t for_open(Action action) {
        const std::lock_guard lock(growing_);
        std::size_t count = 0;
        for (Cell& cell : cells_) {
            if (cell.open) {
                action(cell);
                ++count;
            }
        }
        return count;
    }

    Counters sum() const {
        const std::lock_guard lock(growing_);
        Counters sum;
        for (const Cell& cell : cells_) {
            cell.add_to(sum);
        }
        return sum;
    }

private:
    mutable std::mutex growing_;
    std::deque<Cell> cells_; // by descriptor
};

} // namespace c10k
