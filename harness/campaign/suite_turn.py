"""One suite's turn to work on CPUs that it shares with other suites."""

from __future__ import annotations

import threading

from harness.host import interrupt

# How often a suite that waits for its turn looks whether it has to stop.
LOOK_S = 0.1


class Turn:
    """Held as a context: from the start of suite and server until both are gone, unless given.

    Nothing waits for `crowd` while it holds `work`, so two suites never wait for each other.
    """

    def __init__(
        self, work: threading.Lock | None = None, crowd: threading.Lock | None = None
    ) -> None:
        """`work` is of the CPUs, `crowd` of the host; without them there is no one to wait for."""
        self._work = work or threading.Lock()
        self._crowd = crowd or threading.Lock()
        self._works = self._crowds = False

    def __enter__(self) -> Turn:
        self.take()
        return self

    def __exit__(self, *exception: object) -> None:
        self.give(left=True)

    def take(self, *, crowds: bool = False) -> None:
        """Wait until this suite may work, and crowd the host if it asks for that.

        Raises:
            Interrupted: this thread has to stop.
        """
        if crowds and not self._crowds:
            self.give(left=False)
            _await(self._crowd)
            self._crowds = True
        if not self._works:
            _await(self._work)
            self._works = True

    def give(self, *, left: bool) -> None:
        """Let others work; `left`: let others crowd the host, too."""
        if self._works:
            self._works = False
            self._work.release()
        if left and self._crowds:
            self._crowds = False
            self._crowd.release()


def _await(lock: threading.Lock) -> None:
    while not lock.acquire(timeout=LOOK_S):
        interrupt.require_going()
