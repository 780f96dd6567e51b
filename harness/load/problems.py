"""Why a cell has no valid figures, in one sentence with its numbers. Pure.

The codes: *held-fewer* and *capped* (the same behind a ceiling that the variant declares) for what
a server does not hold, *not-reached* for cells that were not run because of it, *not-settled* for
replies that never came, *overslept* where the load did not run in a whole window, *outside-cpus*
where a task of the server may run on CPUs that are not the server's, *server-died*.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from harness.contract.cell_record import FailureFigures
from harness.contract.statuses import FailureCode
from harness.contract.trial_spec import Ceiling, PlacedCell
from harness.host.wait_budget import Spent
from harness.load.merged_figures import Status, differences


class TrialFailed(Exception):
    """The trial cannot go on. The code and the sentence of its failure event."""

    def __init__(self, code: str, text: str, spent: Spent | None = None) -> None:
        """`spent`: how the CPU time went in a wait that ended in vain."""
        super().__init__(text)
        self.code = code
        self.text = text
        self.spent = spent


def fatal(failure: FailureFigures) -> TrialFailed:
    """A failure after which the trial cannot go on."""
    return TrialFailed(failure.code, failure.text)


def failure(code: str, text: str) -> FailureFigures:
    """The record's `failure`."""
    return FailureFigures(code=code, text=text)


def shortfall(
    wanted: int, before: Status, now: Status, connect_s: float, ceiling: Ceiling | None
) -> FailureFigures | None:
    """Why a step does not hold the connections that it asked for; None when it does."""
    if now.established == wanted:
        return None
    counts = {
        "failed": now.failed - before.failed,
        "lost": now.lost - before.lost,
        f"without an answer within {round(connect_s, 1):g} s": now.connecting,
    }
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    text = f"held {now.established:,} of {wanted:,}: {', '.join(parts)}"
    errors = differences(now.errors, before.errors)
    if errors:
        text += ": " + ", ".join(f"{name} × {n:,}" for name, n in sorted(errors.items()))
    if ceiling is None or wanted <= ceiling.connections_max:
        return failure(FailureCode.HELD_FEWER, text)
    reason = f" ({ceiling.reason})" if ceiling.reason else ""
    return failure(
        FailureCode.CAPPED, f"declared ceiling {ceiling.connections_max:,}{reason}; {text}"
    )


def obstacle(cell: PlacedCell, status: Status) -> FailureFigures | None:
    """Why a cell, or a turn of it, cannot start: what the traffic before it left behind."""
    if status.outstanding:
        text = f"{status.outstanding:,} replies of the traffic before are still missing"
        return failure(FailureCode.NOT_SETTLED, text)
    if status.established < cell.connections:
        text = f"held {status.established:,} of {cell.connections:,} after the traffic before"
        return failure(FailureCode.HELD_FEWER, text)
    return None


def not_run(cause: FailureFigures) -> FailureFigures:
    """Why a cell was not even tried."""
    code = cause.code if cause.code == FailureCode.CAPPED else FailureCode.NOT_REACHED
    return failure(code, f"not run: {cause.text}")


def unanswered(missing: int, settle_s: float) -> FailureFigures:
    """Replies were still out when the wait for them ended."""
    within = f"within {round(settle_s, 1):g} s of the last send"
    text = f"{missing:,} messages were not answered {within}"
    return failure(FailureCode.NOT_SETTLED, text)


def overslept(engines: int, cell: PlacedCell) -> FailureFigures | None:
    """So many engines did not run between the window's edges; None when all of them did."""
    if not engines:
        return None
    what, length_s = ("turn" if cell.turns > 1 else "window"), cell.window_s / cell.turns
    text = (
        f"{engines} of the load's engines did not run in the whole {what} of {length_s:g} s: "
        "others keep this host busy, or the window is too short"
    )
    return failure(FailureCode.OVERSLEPT, text)


def strayed(held: AbstractSet[int], granted: AbstractSet[int]) -> FailureFigures | None:
    """Tasks of the server may run where its CPU time is not its own; None where none may."""
    if held <= granted:
        return None
    outside, own = (", ".join(map(str, sorted(cpus))) for cpus in (held - granted, granted))
    text = f"a task of the server may run on CPU {outside}; the server's own are CPU {own}"
    return failure(FailureCode.OUTSIDE_CPUS, text)


def death(cell: PlacedCell, seen: str, status: Status) -> FailureFigures:
    """The server died during a cell."""
    return failure(
        FailureCode.SERVER_DIED,
        f"the server died in {cell.scenario} at {cell.connections:,} connections: {seen}; "
        f"{status.established:,} were established then",
    )
