// Buffers that the kernel chooses from when data arrives ("provided buffers"), in memory that both
// sides see. The server puts a used buffer back at the end of a ring, without a system call.
#pragma once

#include "../common/ring.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <span>

namespace c10k {

class Pool {
public:
    static constexpr unsigned short group = 0;
    // A recv that repeats itself takes up to 32 buffers before others have their turn
    // (MULTISHOT_MAX_RETRY in io_uring/net.c): with these, the 16 KiB of all servers.
    static constexpr std::size_t chunk_bytes = buffer_bytes / 32;
    // They are used in turns, so each is touched: few enough to stay in a processor's cache.
    static constexpr std::size_t chunks_max = 4096;

    // Throws Fault.
    explicit Pool(Ring& ring) {
        constexpr std::size_t ring_bytes = chunks_max * sizeof(io_uring_buf);
        void* memory = mmap(nullptr, ring_bytes + chunks_max * chunk_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (memory == MAP_FAILED) {
            throw Fault(exit_runtime, std::string("mmap: ") + std::strerror(errno));
        }
        free_ = static_cast<io_uring_buf_ring*>(memory);
        chunks_ = static_cast<std::byte*>(memory) + ring_bytes;
        io_uring_buf_reg registration{};
        registration.ring_addr = reinterpret_cast<std::uintptr_t>(free_);
        registration.ring_entries = chunks_max;
        registration.bgid = group;
        const int result = io_uring_register_buf_ring(ring.get(), &registration, 0);
        if (result < 0) {
            throw Ring::unavailable("io_uring_register", -result);
        }
        io_uring_buf_ring_init(free_);
        for (unsigned short id = 0; id < chunks_max; ++id) {
            give_back(id);
        }
    }

    std::span<std::byte> bytes(unsigned short id, std::size_t size) const {
        return {chunks_ + id * chunk_bytes, size};
    }

    void give_back(unsigned short id) {
        io_uring_buf_ring_add(free_, chunks_ + id * chunk_bytes, chunk_bytes, id,
                              io_uring_buf_ring_mask(chunks_max), 0);
        io_uring_buf_ring_advance(free_, 1);
    }

private:
    io_uring_buf_ring* free_;
    std::byte* chunks_;
};

} // namespace c10k
