"""One echoed connection of an event loop: what it still owes its peer, and how it gets on.

Rule 1: bytes that the peer has not taken yet stop the reading, so a connection never owes more than
        one buffer, and a peer that does not read is held back by TCP itself.
Rule 2: the buffer exists only while something is owed: an idle connection is these few bytes.
Rule 3: an event is a hint. Only recv and send say what is true, so a stale or spurious wake-up
        costs one EAGAIN and never a wrong byte.
"""

from __future__ import annotations

import socket

from c10k.server import BUFFER_BYTES, Counters

# What a turn came to, and so what its descriptor is to be reported for next. It waits for one thing
# at a time. Plain integers: a member of an Enum costs a look-up each time.
TURN = 0  # it went well, nothing said that the socket is empty: again, whether or not more comes
READ = 1  # the socket has nothing to read: when there is input again
WRITE = 2  # the socket takes no more output, some is owed: when there is space again
OVER = 3  # the peer has finished and has everything, or the connection failed: not any more

# One for all connections: it is empty between two turns.
_buffer = memoryview(bytearray(BUFFER_BYTES))


class Connection:
    """One accepted socket, which does not block."""

    __slots__ = ("_owed", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self._owed: memoryview | None = None

    def turn(self, counters: Counters) -> int:
        """One turn: send what is owed, or else read once and echo it."""
        if self._owed is not None:
            return self._flush(self._owed, counters)
        try:
            received = self.socket.recv_into(_buffer)
        except BlockingIOError:
            return READ
        except OSError:
            return OVER
        if received == 0:
            return OVER  # reading goes on only when nothing is owed: all was echoed
        counters.bytes_in += received
        try:
            sent = self.socket.send(_buffer[:received])
        except BlockingIOError:
            sent = 0
        except OSError:
            return OVER
        counters.bytes_out += sent
        if sent == received:
            return TURN
        self._owed = memoryview(bytes(_buffer[sent:received]))
        return WRITE

    def _flush(self, owed: memoryview, counters: Counters) -> int:
        try:
            sent = self.socket.send(owed)
        except BlockingIOError:
            return WRITE
        except OSError:
            return OVER
        counters.bytes_out += sent
        if sent < len(owed):
            self._owed = owed[sent:]
            return WRITE
        self._owed = None
        return TURN
