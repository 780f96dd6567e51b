"""Keep a connection full both ways: `python -m harness.conformance.flood ADDRESS`.

The client has a process of its own, so it takes no time from the process that measures. It prints
`+` when the first bytes are back, and at SIGTERM the number of bytes that came back.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
from types import FrameType

from harness.contract.address import parse

CHUNK_BYTES = 1 << 18


class Flood:
    """The connection, and the number of bytes that came back on it."""

    def __init__(self, address: str) -> None:
        where = parse(address)
        self._peer = socket.socket(where.family, socket.SOCK_STREAM)
        self._peer.connect(where.target)
        self._peer.setblocking(False)
        self._received = 0

    def run(self) -> None:
        """Send and receive until the server closes or SIGTERM arrives."""
        chunk, space = bytes(CHUNK_BYTES), bytearray(CHUNK_BYTES)
        poll = select.poll()
        poll.register(self._peer, select.POLLIN | select.POLLOUT)
        while True:
            for _, events in poll.poll():
                if events & select.POLLOUT:
                    self._peer.send(chunk)
                if events & select.POLLIN:
                    received = self._peer.recv_into(space)
                    if received == 0:
                        sys.exit("the server closed the connection")
                    if self._received == 0:
                        print("+", flush=True)
                    self._received += received

    def end(self, number: int, frame: FrameType | None) -> None:
        """Print the number of bytes that came back, and exit."""
        print(self._received, flush=True)
        sys.exit(0)


if __name__ == "__main__":
    flood = Flood(sys.argv[1])
    signal.signal(signal.SIGTERM, flood.end)
    flood.run()
