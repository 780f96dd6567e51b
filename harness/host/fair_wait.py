"""Wait for the server, longer while other processes take its CPUs (harness/host/wait_budget.py)."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.host.wait_budget import Reading, Spent, left_s

# Most waits end within a few ms; a reading would cost more than it shows.
READ_AFTER_S = 0.02


class Wait:
    """One wait for the server. Ask `is_over` after each look at a server that is not done."""

    def __init__(
        self,
        timeout_s: float,
        read: Callable[[], Reading] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` reads the CPU time so far; without it the wait ends at its timeout."""
        self._timeout_s = timeout_s
        self._read = read
        self._clock = clock
        self._start_s = clock()
        self._deadline_s = self._start_s + timeout_s
        self._first: Reading | None = None
        self.spent: Spent | None = None

    def begin(self) -> Wait:
        """Take the first reading now, for a wait that always reports how its time was spent."""
        if self._read is not None:
            self._first = self._read()
        return self

    def is_over(self) -> bool:
        """Whether the server has had its time. `spent` then says how it was spent."""
        now_s = self._clock()
        if self._first is None and now_s - self._start_s >= READ_AFTER_S:
            self.begin()
        if now_s < self._deadline_s:
            return False
        if self._read is None or self._first is None:
            return True
        self.end()
        assert self.spent is not None  # noqa: S101 (both readings are there)
        self._deadline_s = now_s + left_s(now_s - self._start_s, self.spent, self._timeout_s)
        return self._deadline_s <= now_s

    def until(self, ends_within: Callable[[float], bool]) -> bool:
        """Repeat a call that waits at most so many seconds itself; return whether it succeeded."""
        while not ends_within(self.left_s):
            if self.is_over():
                return False
        return True

    def end(self) -> Spent | None:
        """Read once more; return how the time was spent since the first reading, None without."""
        if self._read is not None and self._first is not None:
            self.spent = Spent.between(self._first, self._read())
        return self.spent

    @property
    def left_s(self) -> float:
        """Seconds until the next call of `is_over` is due; 0 if it is due now."""
        return max(0.0, self._deadline_s - self._clock())

    @property
    def waited_s(self) -> float:
        """Seconds since the wait began."""
        return self._clock() - self._start_s
