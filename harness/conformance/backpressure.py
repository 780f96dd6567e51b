"""Check backpressure: TCP holds back a peer that reads slowly, without cost for the others."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from harness.conformance.definition import Group
from harness.conformance.peers import Pattern
from harness.conformance.pings import at_best, p99, ping
from harness.conformance.scene import Scene
from harness.conformance.suite_results import Failed

GROUP = Group("backpressure")

MIB = 1 << 20
STREAM_BYTES = 64 * MIB
SLOW_BYTES = 32 * MIB
SLOW_BUFFER_BYTES = MIB
# Their third figure is the largest size of a TCP socket's buffer (tcp(7), tcp_rmem and tcp_wmem).
BUFFER_LIMITS = ("/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem")
# A quarter of the stream, for a runtime that frees late. A server that keeps all exceeds it by far.
GROWTH_BYTES = 16 * MIB
STALL_S = 1.0
STALL_SHARE = 0.05
OTHERS_S = 1.0
OTHERS_P99_S = 0.05
SEVERAL = 12
SEVERAL_BYTES = 60_000
SEVERAL_SEND_BYTES = 1 << 17
OFFSET_BYTES = 2000
FIRST_PART_S = 0.05
STEPS, STEP_BYTES, STEP_PAUSE_S = 25, 1024, 0.0005


@GROUP.check(
    "T2",
    "long stream",
    proves="64 MiB on one connection come back, and the server keeps none of it.",
    catches="User memory grows with the stream: the server appends to a buffer and never shortens "
    "it, or it collects the whole stream.",
)
def long_stream(scene: Scene) -> str:
    """Send and read at the same time; compare resident memory before and after.

    A runtime that collects garbage fills its pools first, so memory may grow once. If it follows
    the stream, it grows again with the second part.
    """
    peer = scene.connect()
    pattern = Pattern(2)
    peer.both_ways(pattern, MIB)
    text = f"{STREAM_BYTES // MIB} MiB echoed, resident memory"
    for size in (STREAM_BYTES, 2 * STREAM_BYTES):
        before = scene.server.resident_bytes()
        peer.both_ways(pattern, size)
        growth = scene.server.resident_bytes() - before
        text += f" {growth:+,} bytes"
        if growth <= GROWTH_BYTES:
            return text
        text += ", then"
    raise Failed(f"{text.removesuffix(', then')}; {GROWTH_BYTES:,} are allowed")


@GROUP.check(
    "T3",
    "slow reader",
    proves="A peer that does not read for two seconds loses no byte and delays no other peer.",
    catches="A server that takes a partial write for a whole one loses bytes. One that retries at "
    "once after EAGAIN spins. A blocking write in an event loop stops all connections. Reading "
    "without bound fills memory. Keep the pending bytes, stop reading, wait for POLLOUT (send(2), "
    "EAGAIN).",
)
def slow_reader(scene: Scene) -> str:
    """Send until the socket is full, wait, look at the server, then send on while reading."""
    slow, others = scene.connect(), scene.connect_many(5)
    # With a size set, the kernel does not grow the buffer (SOCK_RCVBUF_LOCK in net/core/sock.c)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
    size = SLOW_BYTES + kernel_takes_bytes()
    ping(others, 0.1)
    pattern = Pattern(3)
    before = scene.server.resident_bytes()
    stalled_at = slow.fill(pattern, size)
    growth = scene.server.resident_bytes() - before
    if stalled_at >= size:
        raise Failed(f"took all {size:,} bytes from a peer that reads nothing")
    if growth > GROWTH_BYTES:
        raise Failed(f"resident memory grew by {growth:,} bytes for one peer that does not read")
    share = scene.server.cpu_share(STALL_S)
    if share > STALL_SHARE:
        raise Failed(
            f"stalled after {stalled_at:,} bytes, the server uses {share:.0%} of a CPU; "
            f"{STALL_SHARE:.0%} are allowed"
        )
    try:
        delay_s = at_best(lambda: p99(ping(others, OTHERS_S)), OTHERS_P99_S)
    except Failed as failed:
        raise failed.within("while one peer does not read, another") from None
    if delay_s > OTHERS_P99_S:
        raise Failed(
            f"while one peer does not read, others wait {delay_s * 1000:.0f} ms (p99); "
            f"{OTHERS_P99_S * 1000:.0f} ms are allowed"
        )
    size = stalled_at + SLOW_BYTES
    slow.both_ways(pattern, size)
    return (
        f"stalled after {stalled_at:,} bytes, {share:.1%} CPU, others' p99 "
        f"{delay_s * 1000:.1f} ms, then {size:,} bytes came back"
    )


def kernel_takes_bytes() -> int:
    """Return the bytes of a stream that the kernel may hold if the peer does not read.

    These are both ends' send buffers and the server's receive buffer. Hosts allow 6 MiB for each,
    or many times that.
    """
    limits = [int(Path(path).read_text().split()[2]) for path in BUFFER_LIMITS]
    receive_bytes, send_bytes = limits
    return receive_bytes + 2 * send_bytes


@GROUP.check(
    "T4",
    "tiny buffers",
    proves="1 MiB through socket buffers of 4 KiB comes back.",
    catches="The server sends the rest of a partial write from the wrong offset, or does not wait "
    "for space again after the next partial write.",
    light=True,
)
def tiny_buffers(scene: Scene) -> str:
    """Keep the server's send buffer small by small buffers and segments at the client.

    Each of several clients first fills another part of it and then reads in small steps. The server
    repeatedly finds space for a part of its pending bytes.
    """
    pattern = Pattern(4)
    several = scene.connect_many(SEVERAL, narrow=True)
    for number, peer in enumerate(several):
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEVERAL_SEND_BYTES)
        peer.fill(pattern, 1 + number * OFFSET_BYTES)
    time.sleep(FIRST_PART_S)
    with scene.server.frozen():  # its next read then gets a whole buffer
        for peer in several:
            peer.fill(pattern, SEVERAL_BYTES)
    for peer in several:
        for at in range(STEP_BYTES, STEPS * STEP_BYTES, STEP_BYTES):
            peer.receive_stream(pattern, at)
            time.sleep(STEP_PAUSE_S)  # lets the server use the free space
        peer.receive_stream(pattern, peer.sent)
    last = scene.connect(narrow=True)
    stalled_at = last.fill(pattern, MIB)
    last.both_ways(pattern, MIB)
    for peer in (*several, last):
        peer.half_close()
        peer.expect_end()
    return f"{SEVERAL} times {SEVERAL_BYTES:,} bytes, and 1 MiB, stalled after {stalled_at:,}"
