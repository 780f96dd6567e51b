"""What the load of a trial asks of the harness: turns, and readings of the server's CPU time.

(Workers of its own would go on while this process waits, which is why a trial that takes turns with
others has none.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.contract.requests import Requests
from harness.host.cpu_accounting import Charged
from harness.host.cpu_spent import Reading


class TrialRequests(Requests):
    """The requests of one trial."""

    def turn(self, cell: int) -> None:
        """Let the trials beside this one have their turns; this trial's next one is of `cell`."""
        self.ask("turn", cell=cell)

    @contextmanager
    def sampling(self, cell: int) -> Iterator[None]:
        """Have the harness read the server's control group, while this process reads what it can.

        Nothing moves until both have read.
        """
        self.events.emit("sample", cell=cell)
        try:
            yield
        finally:
            self.reply()

    def account(self, cell: int) -> Charged:
        """Have the harness wait until the server is idle, and read what the kernel charged it."""
        return Charged.from_reply(self.ask("account", cell=cell))

    def spent(self) -> Reading:
        """Have the harness read the CPU time of the server and of its CPUs so far."""
        reply = self.ask("spent")
        return Reading(**{"stamp_ns": time.monotonic_ns(), "cpus": 1} | reply)
