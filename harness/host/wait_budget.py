"""Divide the time of the server's CPUs during a wait, and compute how long the wait lasts. Pure.

Other processes on its CPUs can make a server slow. The harness must not mistake that for a server
that does not answer. So a wait ends when the server *could have run* for the timeout: wall-clock
time, less what other processes and the hypervisor took of the server's CPUs.

Rule 1: no wait is longer than `WAIT_STRETCH_MAX` times its timeout.
Rule 2: a figure that the kernel hides is None. Only time known to be taken makes a wait longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# With five busy processes of the same weight on its CPU, the server gets a sixth of it.
WAIT_STRETCH_MAX = 6.0
# A wait with less than this left is over, because each look at it costs a reading.
LEFT_MIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU time so far, in ns; None: not known.

    Attributes:
        stamp_ns: CLOCK_MONOTONIC.
        cpus: number of the server's CPUs.
        server_ns: the server's own run time.
        busy_ns: run time of all tasks on the server's CPUs.
        steal_ns: time that the hypervisor kept from the server's CPUs.
        load_wait_ns: time in which the load was ready to run and did not.
        exact_ns: largest error of a difference of `server_ns` or `busy_ns`.
    """

    stamp_ns: int
    cpus: int
    server_ns: int | None = None
    busy_ns: int | None = None
    steal_ns: int | None = None
    load_wait_ns: int | None = None
    exact_ns: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """Growth of a `Reading` in a span of `span_ns`; the record's `wait`."""

    span_ns: int
    cpus: int
    server_ns: int | None
    busy_ns: int | None
    steal_ns: int | None
    load_wait_ns: int | None
    exact_ns: int

    @classmethod
    def between(cls, first: Reading, last: Reading) -> Spent:
        """Subtract one reading from a later one."""
        return cls(
            span_ns=last.stamp_ns - first.stamp_ns,
            cpus=last.cpus,
            server_ns=_grown(first.server_ns, last.server_ns),
            busy_ns=_grown(first.busy_ns, last.busy_ns),
            steal_ns=_grown(first.steal_ns, last.steal_ns),
            load_wait_ns=_grown(first.load_wait_ns, last.load_wait_ns),
            exact_ns=last.exact_ns,
        )

    @classmethod
    def of(cls, members: Mapping[str, Any] | None) -> Spent | None:
        """The inverse of `as_json`."""
        return cls(**members) if members else None

    def as_json(self) -> dict[str, Any]:
        """Build the record's `wait`."""
        return asdict(self)

    @property
    def whole_ns(self) -> int:
        """Span times number of the server's CPUs."""
        return self.span_ns * self.cpus

    @property
    def others_ns(self) -> int | None:
        """Run time of other processes on the server's CPUs; None if it is not known."""
        if self.busy_ns is None or self.server_ns is None:
            return None
        return max(0, self.busy_ns - self.server_ns)

    @property
    def could_run_s(self) -> float:
        """Seconds in which each of the server's CPUs was available to the server."""
        taken_ns = (self.others_ns or 0) + (self.steal_ns or 0)
        return max(0.0, self.span_ns - taken_ns / max(1, self.cpus)) / 1e9


def left_s(waited_s: float, spent: Spent, timeout_s: float) -> float:
    """Seconds that a wait still lasts after `waited_s`; 0 when it is over."""
    # Time before the first reading counts as available to the server
    could_run_s = waited_s - spent.span_ns / 1e9 + spent.could_run_s
    left = min(timeout_s - could_run_s, WAIT_STRETCH_MAX * timeout_s - waited_s)
    return left if left >= LEFT_MIN_S else 0.0


def _grown(first_ns: int | None, last_ns: int | None) -> int | None:
    """Growth of a counter; None if either value is None, or if the kernel dropped an account.

    The kernel drops the account of a server that ended while others run.
    """
    if first_ns is None or last_ns is None or last_ns < first_ns:
        return None
    return last_ns - first_ns
