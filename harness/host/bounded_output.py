"""Keep the end of what a process writes, and count how much it wrote.

A server may write without end. Neither the harness's memory nor a file may grow with its output.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
import threading
from dataclasses import dataclass

KEPT_BYTES = 64 << 10
READ_BYTES = 64 << 10
# A bound for one read: a process cannot outpace the reader for longer than this many bytes.
DRAIN_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Amount:
    """How much was written. Where the Docker engine keeps only the end: how much of it is left."""

    lines: int = 0
    size_bytes: int = 0


NO_OUTPUT = Amount()


class Written:
    """The end of some output. The caller adds chunks as they arrive."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._lines = 0
        self._bytes = 0

    def add(self, chunk: bytes) -> None:
        """Add a chunk."""
        self._lines += chunk.count(b"\n")
        self._bytes += len(chunk)
        self._kept += chunk
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    @property
    def text(self) -> str:
        """The last `KEPT_BYTES` of the output."""
        return bytes(self._kept[-KEPT_BYTES:]).decode(errors="replace")

    @property
    def amount(self) -> Amount:
        """How much was added."""
        return Amount(self._lines, self._bytes)


class WrittenPipe:
    """A pipe that a process writes to. A thread reads it, so the process never waits."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._written = Written()
        self._mutex = threading.Lock()
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close_writer(self) -> None:
        """Close our copy of the writing end, once the process has its own."""
        os.close(self.writer)

    @property
    def text(self) -> str:
        """The end of all that was written before this call."""
        with self._mutex:
            self._drain()
            return self._written.text

    @property
    def amount(self) -> Amount:
        """How much was written before this call."""
        with self._mutex:
            self._drain()
            return self._written.amount

    def close(self) -> None:
        """Stop reading and drop the output. A process that still writes gets SIGPIPE."""
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        os.close(self._reader)

    def _read(self) -> None:
        poll = select.poll()
        for descriptor in (self._reader, self._stop):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._stop in ready:
                return
            with self._mutex:
                self._drain()
            if not ready[self._reader] & select.POLLIN:  # every writer is gone
                poll.unregister(self._reader)

    def _drain(self) -> None:
        left = DRAIN_BYTES_MAX
        while left > 0 and self._waiting_bytes():
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(self._reader, READ_BYTES)
                self._written.add(chunk)
                left -= len(chunk)

    def _waiting_bytes(self) -> int:
        found = bytearray(4)
        fcntl.ioctl(self._reader, termios.FIONREAD, found)
        return int.from_bytes(found, "little")
