"""A wait for the server that lasts by the CPU time that the server was given (cpu_spent.py)."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.host.cpu_spent import Reading, Spent, left_s

# Most waits end within a few ms. Only a longer one is worth a reading.
READ_AFTER_S = 0.02


class Wait:
    """One wait for the server. Asked at each look that finds the server not done."""

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
        """Read now: of a wait that shows something however soon it ends."""
        if self._read is not None:
            self._first = self._read()
        return self

    def is_over(self) -> bool:
        """Whether the server had its time. `spent` says then how it was spent."""
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
        """Wait by a call that itself waits for at most so many seconds; whether it succeeded."""
        while not ends_within(self.left_s):
            if self.is_over():
                return False
        return True

    def end(self) -> Spent | None:
        """Read once more; how the time was spent since the first reading, None without one."""
        if self._read is not None and self._first is not None:
            self.spent = Spent.between(self._first, self._read())
        return self.spent

    @property
    def left_s(self) -> float:
        """Seconds until the wait is looked at again; 0 when that is due."""
        return max(0.0, self._deadline_s - self._clock())

    @property
    def waited_s(self) -> float:
        """For how long it has lasted."""
        return self._clock() - self._start_s
