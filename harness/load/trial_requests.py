"""What the load of a trial asks of the harness: turns, and readings of the server's CPU time.

(Workers of its own would go on while this process waits, which is why a trial that takes turns with
others has none.)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.contract.load_events import Account, Sample, SpentAsked, Turn
from harness.contract.requests import Requests
from harness.host.cpu_accounting import Charged
from harness.host.wait_budget import Reading
from harness.load.probe.memory_use import Memory
from harness.load.probe.readings import Probe


class TrialRequests(Requests):
    """The requests of one trial."""

    def turn(self, cell: int) -> None:
        """Let the trials beside this one have their turns; this trial's next one is of `cell`."""
        self.ask_for(Turn(cell=cell))

    @contextmanager
    def sampling(self, cell: int) -> Iterator[None]:
        """Have the harness read the server's control group, while this process reads what it can.

        Nothing moves until both have read.
        """
        self.events.tell(Sample(cell=cell))
        try:
            yield
        finally:
            self.reply()

    def memory(self, probe: Probe, cell: int) -> Memory | None:
        """Read the server's processes while the harness reads its control group.

        None when the processes may not be looked into. Raises ServerGone or ReaderGone.
        """
        try:
            with self.sampling(cell):
                return probe.memory()
        except OSError as error:
            probe.check_alive()
            print(f"cannot read the server's memory: {error}", file=sys.stderr)
            return None

    def account(self, cell: int) -> Charged:
        """Have the harness wait until the server is idle, and read what the kernel charged it."""
        return Charged.from_reply(self.ask_for(Account(cell=cell)))

    def spent(self) -> Reading:
        """Have the harness read the CPU time of the server and of its CPUs so far."""
        reply = self.ask_for(SpentAsked())
        return Reading(**{"stamp_ns": time.monotonic_ns(), "cpus": 1} | reply)
