"""Judge each shape in a function of its own, which yields the values of a campaign."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from harness.analysis.expected_shapes.view import Bounds, Judged, Observed, View
from harness.analysis.intervals import TRIALS_MIN, compare
from harness.analysis.results import Cell, CellKey
from harness.analysis.series import Series
from harness.analysis.wording import significant
from harness.contract.stored_campaign import StoredBacklog

THREADS, SCANS, EPOLLS = ("thread-per-connection",), ("poll", "select"), ("epoll-lt", "epoll-et")
EVENTS = (*SCANS, *EPOLLS)
FEW, MANY, ACTIVE = 100, 10_000, 100
SMALL_BYTES = 1_024
# The kernel takes memory in whole slabs, too coarse below this many connections (slabinfo(5)).
MEMORY_CONNECTIONS_MIN = 500
# Calls are counted exactly, but not at the same moments as replies.
COUNTED_WITHIN = 0.02


def _kept(view: View, architecture: str, bounds: Bounds) -> Iterator[Observed]:
    """Yield how much of its efficiency each server keeps from few connections to many."""
    few, many = (_idle(view, architecture, connections) for connections in (FEW, MANY))
    for name in sorted(set(few) & set(many)):
        yield from _compared(name, view.rates(many[name]), view.rates(few[name]), bounds)


def _idle(view: View, architecture: str, connections: int) -> dict[str, Cell]:
    return {
        cell.variant: cell
        for cell in view.cells(architecture)
        if (cell.key.scenario, cell.key.connections, cell.key.active)
        == ("idle", connections, ACTIVE)
        and cell.efficiency
    }


def idle_scan(view: View) -> Iterator[Observed]:
    """poll and select walk all descriptors at each wait."""
    for architecture in SCANS:
        yield from _kept(view, architecture, Bounds(high=0.5))


def idle_epoll(view: View) -> Iterator[Observed]:
    """epoll's cost follows the active connections."""
    for architecture in EPOLLS:
        yield from _kept(view, architecture, Bounds(low=0.8))


def all_active(view: View) -> Iterator[Observed]:
    """Without idle connections no mechanism saves work."""
    for key, found in _by_key(view, EVENTS, ("active",)).items():
        values = [view.rates(cell) for cell in found]
        levels = [own.levelled for own in values]
        shared = set[int].intersection(*map(set, levels))
        architectures = {view.architectures[cell.variant] for cell in found}
        if architectures != set(EVENTS) or len(shared) < TRIALS_MIN:
            continue
        # Over the same blocks, because some are slow and not every server has a figure in them
        means = [statistics.geometric_mean(own[block] for block in shared) for own in levels]
        ordered = sorted(zip(means, values, strict=True), key=lambda one: one[0])
        (_, slowest), (_, fastest) = ordered[0], ordered[-1]
        yield from _compared(_where(key), fastest.within(shared), slowest, Bounds(high=1.15))


def et_against_lt(view: View) -> Iterator[Observed]:
    """A drained edge costs one more call, which returns EAGAIN."""
    yield from _against(view, "epoll-et", "epoll-lt", Bounds(0.85, 1.03))


def select_against_poll(view: View) -> Iterator[Observed]:
    """Both scan; a bitmap is denser, an array is shorter."""
    yield from _against(view, "select", "poll", Bounds(0.75, 1.25), connections_max=1_000)


def _against(
    view: View,
    one: str,
    other: str,
    bounds: Bounds,
    connections_max: float = math.inf,
) -> Iterator[Observed]:
    """Yield `one` over `other` in every closed-loop cell of small messages that both have."""
    for key, found in _by_key(view, (one, other), ("idle", "active", "payload")).items():
        if key.connections > connections_max or key.payload_bytes > SMALL_BYTES or key.depth > 1:
            continue
        of = {cell: view.architectures[cell.variant] for cell in found}
        for upper in (cell for cell in found if of[cell] == one):
            for lower in (cell for cell in found if of[cell] == other):
                who = f"{upper.variant}/{lower.variant}, {_where(key)}"
                yield from _compared(who, view.rates(upper), view.rates(lower), bounds)


def _by_key(
    view: View, architectures: tuple[str, ...], scenarios: tuple[str, ...]
) -> dict[CellKey, list[Cell]]:
    """Return the cells with an efficiency over enough trials."""
    found: dict[CellKey, list[Cell]] = {}
    for cell in view.cells(*architectures):
        enough = cell.efficiency is not None and len(cell.efficiency.blocks) >= TRIALS_MIN
        if cell.key.scenario in scenarios and enough:
            found.setdefault(cell.key, []).append(cell)
    return found


def _compared(
    who: str,
    upper: Series,
    lower: Series,
    bounds: Bounds,
) -> Iterator[Observed]:
    """Yield the ratio over the blocks that both have, if there are enough."""
    if found := compare(upper, lower):
        low, high = found.interval.low, found.interval.high
        text = f"{significant(found.ratio)} ({significant(low)} to {significant(high)})"
        yield Observed(who, found.ratio, text, bounds.judge(found.interval))


def _within(holds: bool) -> Judged:
    """Return the verdict on a value without an interval."""
    return "pass" if holds else "fail"


def calls_of_threads(view: View) -> Iterator[Observed]:
    """recv and send."""
    yield from _calls(view, THREADS, 2.0, waits=False)


def calls_of_readiness(view: View) -> Iterator[Observed]:
    """recv, send, and a wait shared by the k events of a wake-up."""
    yield from _calls(view, (*SCANS, "epoll-lt"), 2.0, waits=True)


def calls_of_edges(view: View) -> Iterator[Observed]:
    """recv, send, the recv that returns EAGAIN, and the shared wait."""
    yield from _calls(view, ("epoll-et",), 3.0, waits=True)


def _calls(
    view: View, architectures: tuple[str, ...], base: float, *, waits: bool
) -> Iterator[Observed]:
    """Yield, for each server, the cell that is farthest from the expected count."""
    worst: dict[str, tuple[float, Observed]] = {}
    for cell in view.cells(*architectures):
        calls, k = cell.syscalls_per_echo, cell.events_per_wake_up
        if calls is None or cell.key.depth > 1 or cell.key.payload_bytes > SMALL_BYTES:
            continue
        if waits and not k:
            continue
        expected = base + (1 / k if waits and k else 0.0)
        off = abs(calls / expected - 1)
        text = f"{calls:.3f} for {expected:.3f}"
        who = f"{cell.variant}, {_where(cell.key)}"
        if off >= worst.get(cell.variant, (0.0, None))[0]:
            worst[cell.variant] = (off, Observed(who, calls, text, _within(off <= COUNTED_WITHIN)))
    return (observed for _, observed in worst.values())


def memory_of_threads(view: View) -> Iterator[Observed]:
    """A task, its kernel stack and the used pages of its own stack."""
    for cell in _largest(view, THREADS):
        if cell.memory and (total := cell.memory.total) is not None:
            yield _bytes(cell, total, 25_000 <= total <= 50_000)


def user_memory(view: View) -> Iterator[Observed]:
    """An event loop keeps a record for a connection, and no buffer while nothing waits."""
    for cell in _largest(view, EVENTS):
        if cell.memory and cell.memory.user is not None:
            yield _bytes(cell, cell.memory.user, cell.memory.user < 1_000)


def kernel_memory(view: View) -> Iterator[Observed]:
    """Socket, inode, file, directory entry and watch."""
    for cell in _largest(view, EVENTS):
        if cell.memory and cell.memory.kernel is not None:
            yield _bytes(cell, cell.memory.kernel, 3_500 <= cell.memory.kernel <= 5_500)


def _largest(view: View, architectures: tuple[str, ...]) -> list[Cell]:
    """Return each server's idle cell with the most connections."""
    found: dict[str, Cell] = {}
    for cell in view.cells(*architectures):
        enough = cell.key.connections >= MEMORY_CONNECTIONS_MIN
        if cell.key.scenario == "idle" and enough and cell.memory is not None:
            most = found.get(cell.variant, cell)
            found[cell.variant] = max(most, cell, key=lambda one: one.key.connections)
    return list(found.values())


def _bytes(cell: Cell, value: float, holds: bool) -> Observed:
    text = f"{value / 1e3:.2f} KB"
    return Observed(f"{cell.variant}, {_where(cell.key)}", value, text, _within(holds))


def backlog(view: View) -> Iterator[Observed]:
    """The queue of a listener that does not accept."""
    seen = view.backlog or StoredBacklog()
    size, tried, admitted, late = seen.backlog, seen.tried, seen.admitted, seen.late
    if size is None or tried is None or admitted is None or late is None:
        return
    rest, waited_s = tried - admitted, seen.waited_s or 0.0  # None: none of the rest came
    yield Observed(
        f"of a backlog of {size:.0f}",
        admitted,
        f"{admitted:.0f} admitted at once",
        _within(admitted == size + 1),
    )
    yield Observed(
        "the rest",
        waited_s,
        f"{waited_s:.2f} s" if late == rest else f"{rest - late:.0f} of {rest:.0f} never came",
        _within(late == rest and 0.9 <= waited_s <= 1.2),
    )


def _where(key: CellKey) -> str:
    size = f" of {key.payload_bytes:,} B" if key.scenario == "payload" else ""
    return f"{key.scenario} {key.connections:,}{size}"
