"""System calls per echo by name: those of an x-ray, with the waits of the timed cell. Pure.

As in harness/analysis/xrays.py: the x-ray counts the calls that move a message, and the timed cell
counts the waits of the server. Locks are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.analysis.results import Cell
from harness.analysis.xrays import LOCKS, WAITS
from harness.contract.record import Record, number


def of_cell(cell: Cell, xrays: Sequence[Record]) -> Mapping[str, float]:
    """Return {name: calls per echo} of a cell whose calls are known; empty otherwise.

    Their sum is `cell.syscalls_per_echo`. Waits by several calls are shared out as in the x-ray.
    """
    line = _line(cell, xrays)
    if line is None or cell.syscalls_per_echo is None:
        return {}
    echoes = number(line, "echoes") or 1.0
    counted = {
        str(name): int(count) for name, count in line["syscalls"].items() if name not in LOCKS
    }
    waits = sum(count for name, count in counted.items() if name in WAITS)
    per_wait = (cell.waits_per_echo or 0.0) / waits if waits else 0.0
    return {
        name: count * per_wait if name in WAITS else count / echoes
        for name, count in sorted(counted.items())
    }


def _line(cell: Cell, xrays: Sequence[Record]) -> Record | None:
    """Return the x-ray of a cell's server at its N; the last, as `xrays.with_calls` takes it."""
    known = (
        line
        for line in reversed(xrays)
        if str(line.get("variant")) == cell.variant
        and int(number(line, "connections_requested") or 0) == cell.key.connections
        and line.get("syscalls")
        and number(line, "echoes")
    )
    return next(known, None)
