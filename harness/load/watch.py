"""Waiting, with an eye on what may die meanwhile. No wait of the trial goes past this."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from harness.host.fair_wait import Wait

POLL_S = 0.01
CHECK_INTERVAL_S = 0.5
# From the moment at which a process that dies closes its sockets until it is seen to be gone.
DEATH_S = 0.2


class Watch:
    """Sleeps and waits; looks after server and workers twice a second."""

    def __init__(self, *checks: Callable[[], None]) -> None:
        """`checks` raise when the trial cannot go on."""
        self._checks = checks
        self._checked_ns = 0

    def check(self) -> None:
        """Look now."""
        for check in self._checks:
            check()
        self._checked_ns = time.monotonic_ns()

    def until(self, done: Callable[[], bool], timeout_s: float, poll_s: float = POLL_S) -> bool:
        """Wait until `done()`, at most `timeout_s`; return whether it is done."""
        return self.until_over(done, Wait(timeout_s), poll_s)

    def until_over(self, done: Callable[[], bool], wait: Wait, poll_s: float = POLL_S) -> bool:
        """Wait until `done()`, as long as `wait` lasts; return whether it is done."""
        while not done():
            if wait.is_over():
                return False
            self.sleep_until(time.monotonic_ns() + int(poll_s * 1e9))
        return True

    def sleep_until(self, moment_ns: int) -> None:
        """Sleep to a moment of CLOCK_MONOTONIC."""
        interval_ns = int(CHECK_INTERVAL_S * 1e9)
        while (left_ns := moment_ns - time.monotonic_ns()) > 0:
            if time.monotonic_ns() - self._checked_ns >= interval_ns:
                self.check()
                continue
            gevent.sleep(min(left_ns, interval_ns) / 1e9)
