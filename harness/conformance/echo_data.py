"""Check the data: all bytes come back to their sender, in order and at once."""

from __future__ import annotations

import select
import socket
import statistics
import time

from harness.conformance.definition import Group
from harness.conformance.peers import SILENCE_S, Pattern, Peer, exchange, message
from harness.conformance.pings import at_best
from harness.conformance.scene import Scene
from harness.conformance.suite_results import Failed, Wrong

GROUP = Group("data")

# One, the segment sizes of loopback and Ethernet, a page, and the usual sizes of buffers.
EDGES_BYTES = (1, 536, 1448, 1460, 4096, 8192, 16384, 32768, 65483, 65536)
BUFFER_BYTES = 16 * 1024  # one read of a server (docs/add-a-server.md)
REPLY_S = 1.0
DRIBBLE_S = 0.1
DRIBBLE_BYTES = 200
DRIBBLE_PAUSE_S = 0.005
# A delayed acknowledgement is sent after 40 ms at the earliest (TCP_DELACK_MIN in net/tcp.h)
NAGLE_S = 0.03
NAGLE_ROUNDS = 15
MESSAGE_BYTES = 16
TURNS = 1100
TURN_BYTES = 64 * MESSAGE_BYTES
AHEAD_BYTES = 64 * TURN_BYTES
SPIN_SHARE = 0.2
SPIN_WATCH_S = 0.4


def sizes() -> list[int]:
    """Return every size to echo: the edges, and one byte less and more."""
    return sorted({size + delta for size in EDGES_BYTES for delta in (-1, 0, 1)} - {0})


@GROUP.check(
    "T1",
    "byte-exact echo",
    proves="Messages of every size around the edges of buffers come back exactly.",
    catches="An off-by-one or a truncation at a buffer's edge. Look at how the number of bytes "
    "that recv returned becomes the number that is sent (recv(2), send(2)).",
    light=True,
)
def byte_exact(scene: Scene) -> str:
    """Echo one size after the other on one connection, then expect the end and no more bytes."""
    peer = scene.connect()
    for size in sizes():
        try:
            peer.echo(message(size, seed=size))
        except Failed as failed:
            raise failed.within(f"a message of {size:,} bytes") from None
    peer.half_close()
    peer.expect_end()
    return f"{len(sizes())} sizes from 1 to {sizes()[-1]:,} bytes came back exactly"


@GROUP.check(
    "T7",
    "dribble",
    proves="The server echoes single bytes as they come, while it serves others.",
    catches="Replies wait for a full buffer, for a timer, or for the next request. Send everything "
    "that was read in the same turn.",
)
def dribble(scene: Scene) -> str:
    """Send one byte every 5 ms; each must be back within 100 ms."""
    others = scene.connect_many(10)
    messages = [message(1000, seed) for seed in range(len(others))]
    slow = scene.connect()

    def slowest() -> float:
        times = []
        for byte in message(DRIBBLE_BYTES, seed=7):
            for other, data in zip(others, messages, strict=True):
                other.send(data)
            times.append(slow.echo(bytes([byte])))
            for other, data in zip(others, messages, strict=True):
                other.receive(data)
            if times[-1] > DRIBBLE_S:
                break
            time.sleep(DRIBBLE_PAUSE_S)
        return max(times)

    longest_s = at_best(slowest, DRIBBLE_S)
    text = f"{DRIBBLE_BYTES} single bytes, the slowest echo took {longest_s * 1000:.1f} ms"
    if longest_s > DRIBBLE_S:
        raise Failed(f"{text}; {DRIBBLE_S * 1000:.0f} ms are allowed")
    return text


@GROUP.check(
    "T8",
    "pipelined burst",
    proves="10,000 messages written at once and read later come back in order.",
    catches="One read per event: edge-triggered epoll does not report again the bytes that are "
    "left in the socket (epoll(7), Edge-triggered).",
    light=True,
)
def pipelined(scene: Scene) -> str:
    """Send 160 KB in one write, and read nothing for a moment."""
    peer = scene.connect()
    burst = b"".join(number.to_bytes(16, "big") for number in range(10_000))
    peer.send(burst)
    time.sleep(0.05)
    peer.receive(burst)
    return f"{len(burst):,} bytes in 10,000 messages came back in order"


@GROUP.check(
    "T9",
    "drained to the end",
    proves="A message of three buffers and one byte comes back whole, without further data.",
    catches="The read loop stops before EAGAIN and waits for another event. Edge-triggered epoll "
    "does not send one for bytes that are there already (epoll(7), Edge-triggered).",
    light=True,
)
def drained(scene: Scene) -> str:
    """Send three times the read buffer and one byte, then nothing."""
    size = 3 * BUFFER_BYTES + 1
    peer = scene.connect()
    peer.echo(b"?")
    took_s = at_best(lambda: peer.echo(message(size, seed=9)), REPLY_S)
    if took_s > REPLY_S:
        raise Failed(f"{size:,} bytes took {took_s:.2f} s; {REPLY_S:g} s is allowed")
    return f"{size:,} bytes came back in {took_s * 1000:.1f} ms"


@GROUP.check(
    "T26",
    "no delay of small writes",
    proves="The server sends two small replies in a row at once.",
    catches="Nagle's algorithm holds the second reply back until the client acknowledges the "
    "first. The client's kernel delays that by 40 ms. Set TCP_NODELAY on the accepted socket "
    "(tcp(7)).",
    tcp=True,
)
def no_delay(scene: Scene) -> str:
    """Send a message of two reads, hence two writes; the client delays acknowledgements."""
    peer = scene.connect()
    peer.echo(message(64, seed=1))
    data = message(BUFFER_BYTES + 100, seed=26)
    middle_s = at_best(lambda: _typical_reply(peer, data), NAGLE_S)
    text = f"{len(data):,} bytes in two writes are back after {middle_s * 1000:.1f} ms"
    if middle_s > NAGLE_S:
        raise Failed(f"{text} (median of {NAGLE_ROUNDS}): as long as a delayed acknowledgement")
    return text


def _typical_reply(peer: Peer, data: bytes) -> float:
    """Return the median time in s until all is back; reading earlier would acknowledge it."""
    times = []
    for _ in range(NAGLE_ROUNDS):
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        start = time.monotonic()
        peer.send(data)
        # SO_RCVLOWAT: not readable until all is there (socket(7); poll obeys it since 2.6.28)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(data))
        peer.wait(select.POLLIN)
        times.append(time.monotonic() - start)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        peer.receive(data)
    return statistics.median(times)


@GROUP.check(
    "T28",
    "isolation",
    proves="Two busy connections never see a byte of each other.",
    catches="Two connections share a buffer: the bytes of one overwrite the pending output of the "
    "other. Give each connection its own buffer of pending output.",
)
def isolated(scene: Scene) -> str:
    """Run two connections in turns, two that stall together, and two streams of messages."""
    turns = scene.connect_many(2)
    for _ in range(TURNS):
        exchange(turns, [message(MESSAGE_BYTES, seed) for seed in (1, 2)], SILENCE_S)
    patterns = [Pattern(seed) for seed in (281, 282)]
    stalled = scene.connect_many(2, narrow=True)
    for size in (100_000, 200_000, 400_000):
        for peer, pattern in zip(stalled, patterns, strict=True):
            peer.fill(pattern, size)
        for peer, pattern in zip(stalled, patterns, strict=True):
            peer.receive_stream(pattern, peer.sent)
    streams = scene.connect_many(2)
    size = MESSAGE_BYTES * (100_000 if scene.quick else 1_000_000)
    for start in range(0, size, AHEAD_BYTES):
        for at in range(start, min(start + AHEAD_BYTES, size), TURN_BYTES):
            for peer, pattern in zip(streams, patterns, strict=True):
                peer.send(bytes(pattern.part(at, min(TURN_BYTES, size - at))))
        for peer, pattern in zip(streams, patterns, strict=True):
            peer.receive_stream(pattern, peer.sent)
    return f"{size // MESSAGE_BYTES:,} messages of each of two streams never met"


@GROUP.check(
    "T29",
    "urgent and odd bytes",
    proves="An urgent byte and runs of 0x00 and 0xFF change nothing else.",
    catches="A loop that gets the event of urgent data and never reads it spins (POLLPRI stays "
    "set: poll(2), tcp(7) on SIOCATMARK). A server that takes a byte for an end or a mark loses "
    "it.",
    light=True,
    tcp=True,
)
def urgent(scene: Scene) -> str:
    """Send an urgent byte. The server may echo it or leave it out, but must not spin.

    No other byte may change.
    """
    peer = scene.connect()
    for byte in (b"\x00", b"\xff"):
        peer.echo(byte * 70_000)
    peer.send(b"before")
    peer.socket.send(b"!", socket.MSG_OOB)
    share = scene.server.cpu_share(SPIN_WATCH_S)
    peer.send(b"after")
    got = b""
    while not got.endswith(b"after") and len(got) < len(b"before!after"):
        got += peer.await_data(64)
    if got.replace(b"!", b"", 1) != b"beforeafter":
        raise Wrong(f"sent 'before', an urgent '!', 'after'; got {got!r}")
    if share > SPIN_SHARE:
        raise Failed(f"an urgent byte waits unread and the server uses {share:.0%} of a CPU")
    scene.connect().echo(b"another")
    kept = "echoed" if b"!" in got else "left out"
    return f"the urgent byte was {kept}, {share:.0%} CPU while it was waiting"
