// The state of a connection: bytes on their way to the peer, and requests that the kernel holds.
#pragma once

#include "../common/server.hpp"

#include <cstddef>
#include <vector>

namespace c10k {

// What a recv has read before it can be cancelled comes on top of what was owed already.
constexpr std::size_t owed_bytes_max = 2 * buffer_bytes;

struct Peer {
    // Sent from the pool's chunk in nearly all cases. A slow peer's bytes are copied first, so that
    // it keeps no chunk.
    unsigned short chunk = 0;
    std::size_t chunk_size = 0;  // 0: what is being sent is the copy
    std::vector<std::byte> copy; // being sent
    std::size_t copy_sent = 0;   // of the copy
    std::vector<std::byte> owed; // what follows

    bool sending = false;    // a send is with the kernel
    bool receiving = false;  // a recv is
    bool cancelling = false; // a request to end it is
    bool finished = false;   // the peer sends no more
    bool broken = false;     // the connection failed

    // Then the recv is cancelled. A message of a few chunks is no reason for that.
    bool owes_much() const { return copy.size() - copy_sent + owed.size() >= buffer_bytes / 4; }
};

} // namespace c10k
