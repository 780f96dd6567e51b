"""Let a test that measures time run alone, where other tests run next to it.

`C10K_LANES` names a file that all test processes of one run share. Without it there is one process.
A test marked `timing` waits for the tests that run in other processes; no other test starts until
it has ended, nor until those marked `timing` that follow it have. Fixtures of a module, which its
first test sets up, are part of that.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

LANES = "C10K_LANES"


class Lane:
    """This process's hold of the run's lock."""

    def __init__(self) -> None:
        self._lock: IO[str] | None = None

    def enter(self, *, alone: bool) -> None:
        """Take the lock unless it is held: exclusively where `alone`, else together with others.

        flock(2) lets a process that asks again overtake one that waits for the exclusive lock. So
        each takes a turnstile first, which a waiting process keeps closed behind it.
        """
        path = os.environ.get(LANES)
        if self._lock is not None or not path:
            return
        with Path(f"{path}.next").open("w") as turnstile:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            self._lock = Path(path).open("w")  # noqa: SIM115 (closed in leave())
            fcntl.flock(self._lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)

    def leave(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
