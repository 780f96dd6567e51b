"""What the load asks of the harness, and waits for: each request is an event, each reply one line.

Rule: while it waits this process does nothing at all. It sleeps in one read(2), so that its timers
do not wake the CPU on which another trial's generator is measured. (Workers of its own would go on,
which is why a trial that has others beside it has none.)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.load.accounting import Charged
from harness.load.events import Events, ReaderGone
from harness.load.spent import Reading

STDIN = 0
READ_BYTES = 4096


class Requests:
    """Asks by an event, and reads the reply on standard input. All raise ReaderGone when no reply
    will ever come."""

    def __init__(self, events: Events, descriptor: int = STDIN) -> None:
        self._events = events
        self._descriptor = descriptor
        self._read = b""

    def ask(self, event: str, **members: Any) -> dict[str, Any]:
        """Emit an event, and wait for what the harness replies."""
        self._events.emit(event, **members)
        return self._reply()

    def turn(self, cell: int) -> None:
        """Let the trials beside this one have their turns; this trial's next one is of `cell`."""
        self._events.emit("turn", cell=cell)
        self._reply()

    @contextmanager
    def sampling(self, cell: int) -> Iterator[None]:
        """Have the harness read the server's control group, while this process reads what it can.

        Nothing moves until both have read.
        """
        self._events.emit("sample", cell=cell)
        try:
            yield
        finally:
            self._reply()

    def account(self, cell: int) -> Charged:
        """Have the harness wait until the server is idle, and read what the kernel charged it."""
        self._events.emit("account", cell=cell)
        return Charged.from_reply(self._reply())

    def spent(self) -> Reading:
        """Have the harness read the CPU time of the server and of its CPUs so far."""
        self._events.emit("spent")
        reply = self._reply()
        return Reading(**{"stamp_ns": time.monotonic_ns(), "cpus": 1} | reply)

    def _reply(self) -> dict[str, Any]:
        while b"\n" not in self._read:
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                raise ReaderGone
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply
