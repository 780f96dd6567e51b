"""Let tests run side by side in several processes, and one that measures time run alone.

`C10K_LANES` names a file that all test processes of one run share. Without it there is one process.
A test marked `timing` waits for the tests that run in other processes; no other test starts until
it has ended, nor until those marked `timing` that follow it have. Fixtures of a module, which its
first test sets up, are part of that. They are the last tests of each process.

`C10K_TALLY` names a file that gets the `Tally` of this process, which `run_lanes.py` reads.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

LANES = "C10K_LANES"
TALLY = "C10K_TALLY"


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


@dataclass
class Tally:
    """What became of the tests of one process; each has its id in a set, so that it counts once.

    Attributes:
        collected: number of tests that were to run.
        begun: ids of those whose turn came, skipped ones too.
        timing: ids of those marked `timing` that passed or failed.
        failed: ids of those that failed, at whatever stage or stages.
        waited_s: time that this process waited for tests of other processes.
        spent_s: time that the tests of each folder took, their fixtures included.
    """

    collected: int = 0
    begun: set[str] = field(default_factory=set)
    timing: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    waited_s: float = 0.0
    spent_s: dict[str, float] = field(default_factory=dict)

    def spend(self, folder: str, duration_s: float) -> None:
        """Add what a test of a folder took."""
        self.spent_s[folder] = self.spent_s.get(folder, 0.0) + duration_s

    def times(self) -> str:
        """Where the time of this process went, the longest first."""
        folders = sorted(self.spent_s.items(), key=lambda item: -item[1])
        told = ", ".join(f"{folder} {spent_s:.0f}" for folder, spent_s in folders)
        return f"{sum(self.spent_s.values()):.0f} s of tests ({told}), waited {self.waited_s:.0f} s"

    def count(self, name: str, *, is_timing: bool, is_failed: bool) -> None:
        """Add what a test came to: a pass or a failure."""
        if is_timing:
            self.timing.add(name)
        if is_failed:
            self.failed.add(name)

    def write(self) -> None:
        """Write it where `C10K_TALLY` says, if it does."""
        if path := os.environ.get(TALLY):
            Path(path).write_text(json.dumps(asdict(self), default=sorted))

    @classmethod
    def read(cls, path: Path) -> Tally | None:
        """What a process wrote; None where it wrote nothing, as it broke off."""
        if not path.exists():
            return None
        told = json.loads(path.read_text())
        for name in ("begun", "timing", "failed"):
            told[name] = set(told[name])
        return cls(**told)
