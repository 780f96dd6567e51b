"""Decide which failures are a server's own fault, and find the fault that a cell shows. Pure.

Rule: a timeout is the server's fault only in an attempt in which it had its CPUs to itself. In any
other attempt the failure is *disturbed*: the attempt is repeated, and counts against no server.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract.statuses import FailureCode
from harness.contract.stored_cell import StoredCell


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure code that can be a server's own fault.

    Attributes:
        timed: a busy host can cause it.
        because: the reason for `timed`.
    """

    code: str
    timed: bool
    because: str


FAULTS: tuple[Fault, ...] = (
    Fault(
        FailureCode.NONCONFORMING,
        False,
        "each check is judged by itself, a late one also by the CPU time of others",
    ),
    Fault(
        FailureCode.BUILD_FAILED,
        False,
        "a compiler has the same result on a busy host; its limit is minutes",
    ),
    Fault(FailureCode.NO_PROCESS, False, "its variant.toml declares it"),
    Fault(FailureCode.NOT_STARTED, False, "the engine or the kernel refuses it"),
    Fault(
        FailureCode.NOT_READY,
        True,
        "it had no verified echo in time; a server that ended before has no wait",
    ),
    Fault(FailureCode.SERVER_DIED, False, "a process ends by its own exit or by a signal"),
    Fault(FailureCode.WRONG_ECHO, False, "lack of CPU time changes no byte"),
    Fault(FailureCode.HELD_FEWER, True, "connections were not answered in time, or timed out"),
    Fault(FailureCode.CORRUPT, False, "lack of CPU time changes no byte"),
    Fault(
        FailureCode.LOST,
        False,
        "neither the load nor the kernel of loopback ends a slow connection",
    ),
    Fault(FailureCode.OUTSIDE_CPUS, False, "an affinity does not depend on time"),
    Fault(FailureCode.ESCAPED, False, "a parent does not depend on time"),
    Fault(FailureCode.UNANSWERED, True, "replies did not come in time"),
    Fault(FailureCode.NO_EXIT, True, "it did not end in time after SIGTERM"),
    Fault(
        FailureCode.BAD_EXIT,
        False,
        "it ended by itself, with another exit code or without counters",
    ),
    Fault(FailureCode.MISCOUNTED, False, "both sides count bytes, however slowly they move"),
)
SERVER_CODES = frozenset(fault.code for fault in FAULTS)
TIMED_CODES = frozenset(fault.code for fault in FAULTS if fault.timed)

# The end of an attempt that other processes disturbed so much that it proves nothing.
DISTURBED = FailureCode.DISTURBED
# Ends of trials that are no server's fault. The campaign has a result without these trials.
INCONCLUSIVE = frozenset({DISTURBED, FailureCode.NO_CAPACITY})

# The exit code of a server whose host lacks the interface that it needs (EX_UNAVAILABLE of
# sysexits.h). Its last line names the interface. This is no fault of the server: the campaign goes
# on without it.
EXIT_UNAVAILABLE = 69
NOT_AVAILABLE = FailureCode.NOT_AVAILABLE


def fault_of(record: StoredCell, *, declares_ceiling: bool) -> tuple[str, str] | None:
    """Return code and text of the server's fault that a cell shows; None if it shows none."""
    where = f"{record.scenario} at {record.connections_requested or 0:,.0f}"
    said = record.failure.text if record.failure else ""
    if record.corrupt_bytes:
        return FailureCode.CORRUPT, f"{record.corrupt_bytes:,.0f} wrong bytes in {where}"
    if record.failure_code == FailureCode.HELD_FEWER:
        return FailureCode.HELD_FEWER, f"{where}: {said}"
    if record.lost and not declares_ceiling:
        return FailureCode.LOST, f"{record.lost:,.0f} connections lost in {where}"
    if failed := record.churn.failed:
        return FailureCode.LOST, f"{failed:,.0f} cycles failed in {where}"
    if record.failure_code == FailureCode.NOT_SETTLED:
        return FailureCode.UNANSWERED, f"{where}: {said}"
    return None


def judged(found: tuple[str, str], disturbance: str | None) -> tuple[str, str]:
    """Return code and text of a failure: as found, or *disturbed*.

    Args:
        disturbance: what took CPU time in the attempt; None if the server had its CPUs to itself.
    """
    code, text = found
    if code not in TIMED_CODES or disturbance is None:
        return found
    return DISTURBED, f"{text}. This is not held against the server: {disturbance} meanwhile"


def not_available(exit_code: int | None, log: str) -> tuple[str, str] | None:
    """Return the failure of a server that this host cannot run, with its last line; None otherwise.

    Args:
        exit_code: of the server.
        log: its output.
    """
    if exit_code != EXIT_UNAVAILABLE:
        return None
    lines = log.splitlines() or ["the server gave no reason"]
    return NOT_AVAILABLE, f"not available here: {lines[-1]}"
