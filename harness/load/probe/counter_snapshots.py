"""Has the server print its own counters at the edges of a window: one SIGUSR1 at each.

The lines go to the server's stderr, which is not ours to read: the harness reads them and needs to
know which two belong to a cell. So signals are counted, and none is sent while an earlier one is
not taken yet: signals of one kind that wait together are delivered as one (signal(7)).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from harness.host import procfs, server_processes
from harness.load.watch import Watch

# A server that has not taken the signal by then answers nothing else either.
TAKEN_S = 1.0


def root_of(pids: Sequence[int]) -> int | None:
    """The process of the server that was started; None when none runs any more."""
    seen = server_processes.processes()
    here = {pid: seen[pid] for pid in pids if pid in seen}
    return server_processes.main_of(here, here.keys()) if here else None


class Asked(TypedDict):
    """Of one window: how many lines the server was asked for in all, and what is wrong with it."""

    lines: int
    reason: str | None


class Snapshots:
    """Counts the signals of a whole trial; sends none where the server keeps no counters."""

    def __init__(self, pids: Sequence[int], *, wanted: bool) -> None:
        self._wanted = wanted
        self._root = root_of(pids)
        self._lines = 0
        self._is_open = False
        self._reason: str | None = None

    def open(self) -> None:
        """At the opening of a window; in those of a cell's later turns it is open already."""
        if self._is_open:
            return
        self._is_open = True
        self._reason = None
        self._ask()

    def close(self) -> None:
        """At its close, once."""
        if self._is_open and self._reason is None:
            self._ask()
        self._is_open = False

    def asked(self, watch: Watch) -> Asked | None:
        """Wait until the server has taken the last signal. Raises ServerGone."""
        if not self._wanted:
            return None
        if self._reason is None and not watch.until(lambda: not self._is_waiting(), TAKEN_S):
            self._reason = f"the server did not take SIGUSR1 within {TAKEN_S:g} s"
        return Asked(lines=self._lines, reason=self._reason)

    def _ask(self) -> None:
        if not self._wanted:
            return
        if self._root is None:
            self._reason = "no process of the server runs"
        elif self._is_waiting():
            self._reason = "the server had not taken the SIGUSR1 before"
        else:
            try:
                os.kill(self._root, signal.SIGUSR1)
            except OSError as error:
                self._reason = f"SIGUSR1 cannot be sent: {os.strerror(error.errno or 0).lower()}"
            else:
                self._lines += 1

    def _is_waiting(self) -> bool:
        try:
            status = Path(f"/proc/{self._root}/status").read_text()
        except OSError:
            return False  # gone: whoever watches the server will say so
        return bool(procfs.pending_signals(status) >> (signal.SIGUSR1 - 1) & 1)
