"""Trials side by side: whose turn it is to load the CPUs, said by the harness, one at a time.

Rule: a trial that waits does nothing at all. This process sleeps in one read(2), so that its timers
do not wake the CPU on which another trial's generator is measured. (Workers of its own would go on,
which is why a trial that has others beside it has none.)
"""

from __future__ import annotations

import os

from harness.load.events import Events, ReaderGone

STDIN = 0
LINE_BYTES_MAX = 64


class Baton:
    """Handed on at the end of a turn, and handed back by a line on standard input."""

    def __init__(self, events: Events, descriptor: int = STDIN) -> None:
        self._events = events
        self._descriptor = descriptor

    def pass_on(self, cell: int) -> None:
        """Let the others have their turns; this trial's next one is of `cell`.

        Raises ReaderGone when it will never come back.
        """
        self._events.emit("turn", cell=cell)
        if not os.read(self._descriptor, LINE_BYTES_MAX):
            raise ReaderGone
