"""System calls per echo: an x-ray tells those that move data, the timed cell those that wait. Pure.

An x-ray runs at a slow pace, at which a wake-up finds one event. How many calls a message takes to
read and write does not depend on that; how many wait does, and that a server counts itself. One
that waits and does not count has no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.analysis.results import Cell
from harness.contract.stored_campaign import StoredXray

# Calls that do nothing but wait for descriptors, and the one in which a ring does both.
WAITS = frozenset(
    {"select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_pwait2"}
    | {"io_uring_enter"}
)
# Threads on each other, in futex(2): it moves no data, depends on the pace as waits do, and
# no server counts it, so no figure has it.
LOCKS = frozenset({"futex"})
# Their messages are those of the x-ray, on connections that stay.
SCENARIOS = ("idle", "active", "paced")


def with_calls(cells: Iterable[Cell], xrays: Sequence[StoredXray]) -> tuple[Cell, ...]:
    """The cells of one message at a time, each with its variant's calls per echo at its N."""
    known = {
        (line.variant, int(line.connections_requested or 0)): line
        for line in xrays
        if line.syscalls and line.echoes
    }
    return tuple(_with_calls(cell, known) for cell in cells)


def calls_per_echo(line: StoredXray) -> tuple[float, float]:
    """`(calls that move data, calls that wait)` per echo of an x-ray; locks are neither."""
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
