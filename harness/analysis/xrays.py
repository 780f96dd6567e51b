"""Compute system calls per echo: calls that move data by x-ray, waits by the timed cell. Pure.

An x-ray runs at a slow pace, so each wake-up finds one event. The number of calls that read and
write a message does not depend on the pace. The number of waits does, so the server counts them
itself. A server that waits and does not count has no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.analysis.results import Cell
from harness.contract.stored_campaign import StoredXray

# Calls that only wait for descriptors, and the call in which a ring waits and moves data.
WAITS = frozenset(
    {"select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_pwait2"}
    | {"io_uring_enter"}
)
# Threads wait for each other in futex(2). It moves no data, depends on the pace as waits do, and no
# server counts it. No figure includes it.
LOCKS = frozenset({"futex"})
# Scenarios with the messages of the x-ray, on connections that stay open.
SCENARIOS = ("idle", "active", "paced")


def with_calls(cells: Iterable[Cell], xrays: Sequence[StoredXray]) -> tuple[Cell, ...]:
    """Add the calls per echo of its server and N to each cell with one message at a time."""
    known = {
        (line.variant, int(line.connections_requested or 0)): line
        for line in xrays
        if line.syscalls and line.echoes
    }
    return tuple(_with_calls(cell, known) for cell in cells)


def calls_per_echo(line: StoredXray) -> tuple[float, float]:
    """Return `(calls that move data, calls that wait)` per echo of an x-ray; locks are neither."""
    echoes = line.echoes or 1.0
    calls = {name: count for name, count in line.syscalls.items() if name not in LOCKS}
    waits = sum(count for name, count in calls.items() if name in WAITS)
    return (sum(calls.values()) - waits) / echoes, waits / echoes


def _with_calls(cell: Cell, known: dict[tuple[str, int], StoredXray]) -> Cell:
    line = known.get((cell.variant, cell.key.connections))
    if line is None or cell.key.scenario not in SCENARIOS or cell.key.depth > 1:
        return cell
    if cell.key.payload_bytes != line.payload_bytes:
        return cell
    moving, waiting = calls_per_echo(line)
    if waiting and cell.waits_per_echo is None:
        return cell
    total = moving + (cell.waits_per_echo or 0.0)
    return replace(cell, syscalls_per_echo=total, syscalls_tool=line.tool)
