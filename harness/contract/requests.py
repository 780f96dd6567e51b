"""What a process of the harness's asks of it and waits for: an event, then one line as the reply.

Rule: while it waits this process does nothing at all. It sleeps in one read(2), so that its timers
do not wake the CPU on which another trial's generator is measured.
"""

from __future__ import annotations

import json
import os
from typing import Any

from pydantic import BaseModel

from harness.contract.events import Events, ReaderGone

STDIN = 0
READ_BYTES = 4096


class Requests:
    """Asks by an event, and reads the reply on standard input. All raise ReaderGone when no reply
    will ever come."""

    def __init__(self, events: Events, descriptor: int = STDIN) -> None:
        self.events = events
        self._descriptor = descriptor
        self._read = b""

    def ask(self, event: str, **members: Any) -> dict[str, Any]:
        """Emit an event, and wait for what the harness replies."""
        self.events.emit(event, **members)
        return self.reply()

    def ask_for(self, event: BaseModel) -> dict[str, Any]:
        """The same of an event that has a model."""
        self.events.tell(event)
        return self.reply()

    def reply(self) -> dict[str, Any]:
        """Wait for the reply to an event that was emitted before."""
        while b"\n" not in self._read:
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                raise ReaderGone
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply
