"""What each chart draws: taken from cells, so that nothing is drawn where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness import findings
from harness.analysis import wording
from harness.analysis.results import MEMORY_KINDS, Analysis, Cell, CellKey
from harness.findings import Finding
from harness.report.background import Variant
from harness.report.table import NONE, half_width, rate_of

Kind = Literal["efficiency", "latency", "percentiles", "load", "memory", "ramp", "why"]
QUESTIONS = {
    "idle": "Scenario idle: {active} of the open connections are active",
    "active": "Scenario active: all open connections are active",
    "payload": "Scenarios idle and payload: {active} active connections, messages of different "
    "size",
    "depth": "Scenarios idle and depth: {active} active connections, one or several messages under "
    "way on each",
}
# What a scenario varies, where that is not the number of open connections.
VARIED: dict[str, tuple[str, Callable[[CellKey], int]]] = {
    "payload": ("bytes per message", lambda key: key.payload_bytes),
    "depth": ("messages under way per connection", lambda key: key.depth),
}
CONNECTIONS: tuple[str, Callable[[CellKey], int]] = ("connections", lambda key: key.connections)


@dataclass(frozen=True, slots=True)
class Point:
    """A measured point; `low` and `high` bound its interval where there is one.

    Points are joined inside a `segment`: a line does not cross what was not measured. `text` says
    the point in words.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    segment: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One variant's line. `stop` says what ended it, where an architecture's ceiling did."""

    variant: str
    colour: int
    label: str
    points: tuple[Point, ...]
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One variant's memory per connection: `(kind, KiB)` in the order of stacking."""

    variant: str
    colour: int
    label: str
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart with its words and its data table.

    Attributes:
        title: what it shows; `statement` has the numbers in it.
        reading: how to read it.
        header, rows: the data table; the first column is the variant.
        target: ramp: the connections that were asked for.
        x_title: its horizontal axis, where the kind does not say it.
        y_title, is_log: why: its vertical axis.
    """

    id: str
    kind: Kind
    title: str
    statement: Finding | None
    subtitle: str
    reading: str
    series: tuple[Series, ...]
    bars: tuple[Bar, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    target: int = 0
    x_title: str = ""
    y_title: str = ""
    is_log: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of memory in its bars, in the order of stacking."""
        found = {kind for bar in self.bars for kind, size in bar.parts if size}
        return tuple(kind for kind in MEMORY_KINDS if kind in found)


def figures(analysis: Analysis, variants: Sequence[Variant]) -> tuple[Figure, ...]:
    """The charts that the measured cells can fill."""
    colours = {variant.name: variant.colour for variant in variants}
    found: list[Figure] = []
    for scenario in QUESTIONS:
        cells = [cell for cell in analysis.cells if cell.key.scenario == scenario]
        if not any(cell.efficiency for cell in cells):
            continue
        if scenario in VARIED:
            most = max(cell.key.connections for cell in cells)
            cells = [cell for cell in cells if cell.key.connections == most]
            cells = _with_usual(cells, analysis.cells, VARIED[scenario][1])
        found.append(_efficiency(analysis, cells, scenario, colours))
        if scenario not in VARIED:
            found.append(_latency(analysis, cells, scenario, colours))
    return (*found, *_memory(analysis, colours))


def _with_usual(
    cells: Sequence[Cell], measured: Sequence[Cell], x_of: Callable[[CellKey], int]
) -> list[Cell]:
    """The cells of a scenario that varies one thing, and those of `idle` that only lack that.

    So a profile with a single depth still has a line, which begins at depth 1.
    """

    def rest(key: CellKey) -> tuple[int, ...]:
        """All but what is varied, which is divided out of the two that can be."""
        return (key.connections, key.active, key.payload_bytes * key.depth // x_of(key))

    varied = {x_of(cell.key) for cell in cells}
    held = {rest(cell.key) for cell in cells}
    usual = [
        cell
        for cell in measured
        if cell.key.scenario == "idle" and rest(cell.key) in held and x_of(cell.key) not in varied
    ]
    return sorted([*usual, *cells], key=lambda cell: x_of(cell.key))


def question(cells: Sequence[Cell], scenario: str) -> str:
    """What the scenario asks, in words."""
    active = max(cell.key.active for cell in cells)
    return QUESTIONS.get(scenario, f"Scenario {scenario}").format(active=f"{active:,}")


def _efficiency(
    analysis: Analysis, cells: Sequence[Cell], scenario: str, colours: dict[str, int]
) -> Figure:
    statement, kept = (None, {}) if scenario in VARIED else findings.shape(cells, scenario)
    varied, x_of = VARIED.get(scenario, CONNECTIONS)
    header = ("server", varied, "echoes per CPU second", "interval", "echoes/s", "kept")
    rows = tuple(
        (
            cell.variant,
            f"{x_of(cell.key):,}",
            wording.rate(cell.efficiency.median).text,
            half_width(cell.efficiency) or NONE,
            rate_of(cell),
            _kept(cell, cells, kept),
        )
        for cell in cells
        if cell.efficiency
    )
    return Figure(
        id=f"fig-{scenario}-efficiency",
        kind="efficiency",
        title="Throughput per server CPU",
        statement=statement,
        subtitle=f"{question(cells, scenario)}. Median of trials; the band is the 95 % interval.",
        reading="Higher is better. A level line: more open connections cost nothing. "
        "The axis starts at zero, so heights compare as they look.",
        series=lines(analysis, cells, colours, lambda cell: _efficiency_point(cell, x_of)),
        bars=(),
        header=header,
        rows=rows,
        x_title="" if scenario not in VARIED else f"{varied} (log)",
    )


def _kept(cell: Cell, cells: Sequence[Cell], kept: dict[str, float]) -> str:
    """The share kept, in the row of the variant's largest N."""
    largest = max(
        one.key.connections for one in cells if one.variant == cell.variant and one.efficiency
    )
    is_last = cell.key.connections == largest and cell.variant in kept
    return wording.share(kept[cell.variant]).text if is_last else ""


def _efficiency_point(cell: Cell, x_of: Callable[[CellKey], int]) -> Point | None:
    found = cell.efficiency
    if found is None:
        return None
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    text = f"{wording.rate(found.median)} {half_width(found)}".strip()
    return Point(x_of(cell.key), found.median, low, high, text=text)


def _latency_point(cell: Cell) -> Point | None:
    found = cell.latency_us
    if found is None:
        return None
    text = f"p99 {wording.millis(found.p99, ' ms')}, p50 {wording.millis(found.p50, ' ms')}"
    return Point(cell.key.connections, found.p99 / 1e3, text=text)


def _latency(
    analysis: Analysis, cells: Sequence[Cell], scenario: str, colours: dict[str, int]
) -> Figure:
    header = ("server", "connections", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "n")
    rows = tuple(
        (
            cell.variant,
            f"{cell.key.connections:,}",
            wording.millis(latency.p50).text,
            wording.millis(latency.p90).text,
            wording.millis(latency.p99).text,
            wording.millis(latency.p999).text if latency.p999 else NONE,
            wording.millis(latency.max).text,
            f"{latency.count:,}",
        )
        for cell in cells
        if (latency := cell.latency_us)
    )
    return Figure(
        id=f"fig-{scenario}-latency",
        kind="latency",
        title="p99 under full load (closed loop)",
        statement=_tail(cells),
        subtitle=f"{question(cells, scenario)}. From one histogram per cell, merged over trials.",
        reading="Lower is better; both axes are logarithmic. Every active connection waits for "
        "its reply before it sends again, so this is time in the queue at full load, not what a "
        "lightly loaded client sees.",
        series=lines(analysis, cells, colours, _latency_point),
        bars=(),
        header=header,
        rows=rows,
    )


def _tail(cells: Sequence[Cell]) -> Finding | None:
    largest = max(cell.key.connections for cell in cells)
    return findings.extremes(
        f"At {largest:,} connections the p99 of {{}} is {{}}, that of {{}} {{}}",
        {
            cell.variant: wording.millis(cell.latency_us.p99, " ms")
            for cell in cells
            if cell.latency_us and cell.key.connections == largest
        },
    )


def lines(
    analysis: Analysis,
    cells: Sequence[Cell],
    colours: dict[str, int],
    point: Callable[[Cell], Point | None],
) -> tuple[Series, ...]:
    """One line per variant through the points of its cells, broken where one has none."""
    steps = sorted({cell.key.order for cell in cells})
    points: dict[str, list[Point]] = {}
    places: dict[str, int] = {}
    for cell in sorted(cells, key=lambda cell: cell.key.order):
        measured, place = point(cell), steps.index(cell.key.order)
        if measured is None:
            continue
        before = points.setdefault(cell.variant, [])
        is_joined = not before or places[cell.variant] == place - 1
        segment = before[-1].segment + (not is_joined) if before else 0
        before.append(replace(measured, segment=segment))
        places[cell.variant] = place
    most = max((cell.key.connections for cell in cells), default=0)
    return tuple(
        Series(name, colours.get(name, 0), name, tuple(found), stop_of(analysis, name, most))
        for name, found in sorted(points.items())
    )


def stop_of(analysis: Analysis, variant: str, connections: int) -> str:
    """What its line ends with where its declared ceiling kept it from that many connections."""
    capped = [
        cell
        for cell in analysis.cells
        if cell.variant == variant and cell.count("capped") and cell.key.connections <= connections
    ]
    held = [cell.held for cell in capped if cell.held is not None]
    return f"stops at {max(held):,}" if held else "stops" if capped else ""


def _memory(analysis: Analysis, colours: dict[str, int]) -> Iterator[Figure]:
    """Each variant at the largest `idle` N that it reached."""
    largest: dict[str, Cell] = {}
    for cell in analysis.cells:
        if cell.key.scenario == "idle" and cell.memory:
            known = largest.get(cell.variant, cell)
            largest[cell.variant] = max(known, cell, key=lambda one: one.key.order)
    if not largest:
        return
    most = max(cell.key.connections for cell in largest.values())
    ordered = sorted(largest.values(), key=lambda cell: (_total(cell), cell.variant))
    bars = tuple(_bar(cell, most, colours.get(cell.variant, 0)) for cell in ordered)
    yield Figure(
        id="fig-memory",
        kind="memory",
        title="Memory per connection",
        statement=findings.extremes(
            "{} needs {} KiB per connection, {} needs {}",
            {
                cell.variant: wording.kib(_total(cell))
                for cell in ordered
                if cell.key.connections == most
            },
        ),
        subtitle=f"Above the server without connections, at {most:,} unless it says otherwise.",
        reading="Anonymous and kernel memory, page cache left out. Kernel memory of the loopback "
        "counts sockets at the server's end.",
        series=(),
        bars=bars,
        header=("server", "connections", *(f"{kind} KiB" for kind in MEMORY_KINDS), "all KiB"),
        rows=tuple(_memory_row(cell) for cell in ordered),
    )


def _total(cell: Cell) -> float:
    return cell.memory.total if cell.memory else 0.0


def _bar(cell: Cell, most: int, colour: int) -> Bar:
    assert cell.memory is not None  # noqa: S101 (chosen for having it)
    total = f"{wording.kib(cell.memory.total)} KiB"
    if cell.key.connections != most:
        total += f" (at {cell.key.connections:,})"
    parts = tuple((kind, max(0.0, value) / wording.KIB) for kind, value in cell.memory.observed)
    return Bar(cell.variant, colour, total, parts)


def _memory_row(cell: Cell) -> tuple[str, ...]:
    assert cell.memory is not None  # noqa: S101 (chosen for having it)
    observed = dict(cell.memory.observed)
    kinds = (
        wording.kib(observed[kind]).text if kind in observed else NONE for kind in MEMORY_KINDS
    )
    return (
        cell.variant,
        f"{cell.key.connections:,}",
        *kinds,
        wording.kib(cell.memory.total).text,
    )
