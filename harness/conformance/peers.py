"""Provide clients that compare every byte that comes back with the byte that they sent.

Rule 1: every wait ends. A server that sends nothing for SILENCE_S hangs.
Rule 2: a failure gives the position in the stream, because the position often shows the bug.
"""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress

from harness.conformance.suite_results import Failed, Wrong
from harness.contract.address import Address

# Generous: this bound finds servers that never answer, not slow ones
SILENCE_S = 5.0
CHUNK_BYTES = 1 << 18
CONTEXT_BYTES = 8
# TCP_MAXSEG and SO_RCVBUF of a narrow client. Its server begins with a send buffer of 10 segments
# as the kernel accounts them (tcp_sndbuf_expand in tcp_input.c), some 15 KB, which then grows.
NARROW_SEGMENT_BYTES = 256
NARROW_BUFFER_BYTES = 1  # the kernel raises it to its minimum, 2,304
NARROW_SEND_BYTES = 4096
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h


class Pattern:
    """An endless stream of bytes that shows a shifted, lost or doubled piece."""

    PERIOD_BYTES = 1_048_573  # a prime, so that no buffer's size divides it

    def __init__(self, seed: int) -> None:
        once = random.Random(seed).randbytes(self.PERIOD_BYTES)  # noqa: S311 (not a secret)
        self._bytes = memoryview(once + once)

    def part(self, position: int, size: int) -> memoryview:
        """Return at most `size` bytes from `position` on; at most one period."""
        start = position % self.PERIOD_BYTES
        return self._bytes[start : start + min(size, self.PERIOD_BYTES)]


def message(size: int, seed: int) -> bytes:
    """Return a message of `size` bytes, another one for each seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 (not a secret)


class Peer:
    """One connected client. Its socket never blocks; its methods wait at most SILENCE_S."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.sent = 0
        self.received = 0

    def fileno(self) -> int:
        """Return the descriptor, for select."""
        return self.socket.fileno()

    def wait(self, events: int, within_s: float = SILENCE_S) -> bool:
        """Wait up to `within_s`; return whether one of poll's `events`, an error or an end came."""
        poll = select.poll()
        poll.register(self.socket, events)
        return bool(poll.poll(within_s * 1000))

    def try_send(self, data: bytes | memoryview) -> int:
        """Send what the socket takes now; return the number of bytes. Raises Failed."""
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Failed(f"{_word(error)} after {self.sent:,} bytes were sent") from None
        self.sent += sent
        return sent

    def try_receive(self, size: int) -> bytes | None:
        """Return the bytes that are there now, b"" at the end, None if none are. Raises Failed."""
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Failed(
                f"{_word(error)} after {self.received:,} of {self.sent:,} bytes came back"
            ) from None
        self.received += len(data)
        return data

    def send(self, data: bytes) -> None:
        """Send all of it. Raises Failed."""
        view = memoryview(data)
        while view:
            view = view[self.try_send(view) :]
            if view and not self.wait(select.POLLOUT):
                raise Failed(
                    f"the server reads nothing for {SILENCE_S:g} s, {len(view):,} bytes not sent"
                )

    def push(self, data: bytes) -> None:
        """Send as much of it as the socket takes now."""
        view = memoryview(data)
        while view and (sent := self.try_send(view)):
            view = view[sent:]

    def receive(self, expected: bytes) -> None:
        """Receive exactly these bytes. Raises Failed."""
        done = 0
        while done < len(expected):
            data = self.await_data(len(expected) - done)
            compare(expected, done, data)
            done += len(data)

    def await_data(self, size: int) -> bytes:
        """Return the next bytes, at most `size`, at least one. Raises Failed."""
        if not self.wait(select.POLLIN):
            raise Failed(
                f"nothing for {SILENCE_S:g} s after {self.received:,} of {self.sent:,} bytes"
            )
        data = self.try_receive(size)
        if not data:
            raise Failed(f"closed after {self.received:,} of {self.sent:,} bytes")
        return data

    def echo(self, data: bytes) -> float:
        """Send, receive the same, and return the time in s. Raises Failed."""
        start = time.monotonic()
        self.send(data)
        self.receive(data)
        return time.monotonic() - start

    def fill(self, pattern: Pattern, limit: int) -> int:
        """Send without reading until the socket is full or `limit` is reached; return `sent`."""
        while self.sent < limit and self.wait(select.POLLOUT, 0.2):
            self.try_send(pattern.part(self.sent, min(CHUNK_BYTES, limit - self.sent)))
        return self.sent

    def receive_stream(self, pattern: Pattern, size: int) -> None:
        """Receive the pattern from this peer's position up to position `size`."""
        while self.received < size:
            at = self.received
            data = self.await_data(min(CHUNK_BYTES, size - at))
            compare(pattern.part(at, len(data)), 0, data, offset=at)

    def both_ways(self, pattern: Pattern, size: int) -> None:
        """Send the pattern up to position `size` and receive it meanwhile."""
        while self.received < size:
            events = select.POLLIN | (select.POLLOUT if self.sent < size else 0)
            if not self.wait(events):
                raise Failed(
                    f"nothing for {SILENCE_S:g} s after {self.received:,} of {size:,} bytes"
                )
            if self.sent < size:
                self.try_send(pattern.part(self.sent, min(CHUNK_BYTES, size - self.sent)))
            at = self.received
            data = self.try_receive(min(CHUNK_BYTES, size - at))
            if data is not None:
                if not data:
                    raise Failed(f"closed after {at:,} of {size:,} bytes")
                compare(pattern.part(at, len(data)), 0, data, offset=at)

    def half_close(self) -> None:
        """Send FIN; reading continues."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Failed(f"{_word(error)} before all was sent") from None

    def expect_end(self, within_s: float = SILENCE_S) -> None:
        """Expect the server's FIN, without another byte and without RST. Raises Failed."""
        if not self.wait(select.POLLIN, within_s):
            raise Failed(
                f"half-closed after {self.sent:,} bytes, all echoed, "
                f"but no FIN from the server within {within_s:g} s"
            )
        data = self.try_receive(CONTEXT_BYTES)
        if data:
            raise Wrong(f"{data.hex(' ')}: more than the {self.sent:,} bytes that were sent")

    def reset(self) -> None:
        """End with RST, whatever is in flight (SO_LINGER with 0 s: tcp(7))."""
        with suppress(OSError):  # the server closed it already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Close both ways at once."""
        self.socket.close()


def begin_connect(address: Address, source: str | None, *, narrow: bool) -> socket.socket:
    """Begin a connect without waiting. Raises Failed if the kernel refuses it."""
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    connection.setblocking(False)
    if address.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if narrow:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, NARROW_SEGMENT_BYTES)
    if narrow:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BUFFER_BYTES)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_SEND_BYTES)
    if source is not None:
        # connect then chooses the port, and may use one in TIME_WAIT again: ip(7)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((source, 0))
    code = connection.connect_ex(address.target)
    if code not in (0, errno.EINPROGRESS):
        connection.close()
        raise Failed(f"connect to {address.text}: {os.strerror(code).lower()}")
    return connection


def finish_connects(address: Address, opened: Sequence[Peer], within_s: float) -> int:
    """Wait until all are connected; return how many are. Raises Failed if one is refused."""
    poll = select.epoll()
    waiting = {peer.fileno(): peer.socket for peer in opened}
    for descriptor in waiting:
        poll.register(descriptor, select.EPOLLOUT)
    deadline = time.monotonic() + within_s
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left):
            connection = waiting.pop(descriptor)
            poll.unregister(descriptor)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                poll.close()
                raise Failed(f"connect to {address.text}: {os.strerror(code).lower()}")
    poll.close()
    return len(opened) - len(waiting)


def exchange(peers: Sequence[Peer], messages: Sequence[bytes], within_s: float) -> list[float]:
    """Send each peer its message, all at once, and await all echoes; return the time of each in s.

    Raises Failed with the number of peers that lack a whole echo after `within_s`.
    """
    starts, done = [], [0] * len(peers)
    poll = select.epoll()
    numbers = {}
    for number, (peer, data) in enumerate(zip(peers, messages, strict=True)):
        poll.register(peer, select.EPOLLIN)
        numbers[peer.fileno()] = number
        starts.append(time.monotonic())
        if peer.try_send(data) != len(data):
            raise Failed(f"the socket did not take a whole message of {len(data)} bytes")
    times = [0.0] * len(peers)
    deadline = time.monotonic() + within_s
    try:
        while numbers and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left):
                number = numbers[descriptor]
                if _take(peers[number], messages[number], done, number):
                    times[number] = time.monotonic() - starts[number]
                    del numbers[descriptor]
                    poll.unregister(descriptor)
    finally:
        poll.close()
    if numbers:
        raise Failed(
            f"{len(numbers):,} of {len(peers):,} connections have no whole echo after "
            f"{within_s:g} s"
        )
    return times


def _take(peer: Peer, expected: bytes, done: list[int], number: int) -> bool:
    """Receive what is there for one peer; return whether it has all."""
    data = peer.try_receive(len(expected) - done[number])
    if data is None:
        return False
    if not data:
        raise Failed(f"closed after {peer.received:,} of {peer.sent:,} bytes")
    compare(expected, done[number], data)
    done[number] += len(data)
    return done[number] == len(expected)


def compare(expected: bytes | memoryview, at: int, data: bytes, *, offset: int = 0) -> None:
    """Compare received bytes with those expected from `at` on. Raises Wrong at a difference."""
    wanted = bytes(expected[at : at + len(data)])
    if wanted == data:
        return
    first = next(i for i, (a, b) in enumerate(zip(wanted, data, strict=True)) if a != b)
    raise Wrong(
        f"byte {offset + at + first:,} came back wrong: expected "
        f"{wanted[first : first + CONTEXT_BYTES].hex(' ')}, "
        f"got {data[first : first + CONTEXT_BYTES].hex(' ')}"
    )


def _word(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
