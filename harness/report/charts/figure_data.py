"""Choose what each chart draws, from cells: a chart draws only what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.analysis import wording
from harness.analysis.findings import Finding
from harness.analysis.intervals import Estimate
from harness.analysis.results import Analysis, Cell
from harness.contract.statuses import CellStatus
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE, half_width

Kind = Literal[
    "cost",
    "efficiency",
    "dots",
    "latency",
    "percentiles",
    "load",
    "memory",
    "ramp",
    "ratios",
    "strips",
    "why",
]
QUESTIONS = {
    "idle": "Scenario idle: {active} of the open connections are active",
    "active": "Scenario active: all open connections are active",
}


@dataclass(frozen=True, slots=True)
class Point:
    """A measured point; `low` and `high` bound its interval, if it has one.

    A line joins the points of one `segment`: it does not cross cells that were not measured. `text`
    is the point in words, `value` only its figure.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    segment: int = 0
    text: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One server's line.

    Attributes:
        stop: the text at its end if a declared ceiling ended it.
        beyond: load: places that could not be measured; their `y` is that of the last point.
        shape, dash: its marker and the lengths of its lines and gaps (emphasis.py).
        is_quiet: whether it stays behind the others: thin, without markers and without a label.
    """

    variant: str
    colour: int
    label: str
    points: tuple[Point, ...]
    stop: str = ""
    beyond: tuple[Point, ...] = ()
    shape: str = "circle"
    dash: tuple[int, ...] = ()
    is_quiet: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """What one server uses: `(part, size)` in the order of stacking."""

    variant: str
    colour: int
    label: str
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart with its words and its data table.

    Attributes:
        title: what it shows; `statement` says it with the numbers.
        reading: how to read it.
        header, rows: the data table; the first column is the server.
        target: ramp: the number of connections asked for.
        x_title: title of its horizontal axis, if the kind has no fixed one.
        y_title, is_log: why and dots: the axis of its values.
        levels: dots: the names of the values of x, in their order; a row has a dot for each.
        spans: strips: names of the stretches of its horizontal axis, each of length one.
        parts: bars: the parts of a bar and the CSS variable of each, in the order of stacking.
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
    levels: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    spans: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """The parts that its bars have, each with its CSS variable."""
        found = {part for bar in self.bars for part, size in bar.parts if size}
        return tuple((part, colour) for part, colour in self.parts if part in found)


def figures(analysis: Analysis, variants: Sequence[Variant]) -> tuple[Figure, ...]:
    """Return the charts of latency in a closed loop, for the scenarios that were measured."""
    colours = {variant.name: variant.colour for variant in variants}
    found: list[Figure] = []
    for scenario in QUESTIONS:
        cells = [cell for cell in analysis.cells if cell.key.scenario == scenario]
        if any(cell.latency_us for cell in cells):
            found.append(_latency(analysis, cells, scenario, colours))
    return tuple(found)


def question(cells: Sequence[Cell], scenario: str) -> str:
    """Describe the scenario in words."""
    active = max(cell.key.active for cell in cells)
    return QUESTIONS.get(scenario, f"Scenario {scenario}").format(active=f"{active:,}")


def rate_point(cell: Cell, x: float) -> Point | None:
    """Return the cell's echoes per second of server CPU, at `x`; None if it has none."""
    found = cell.efficiency
    if found is None:
        return None
    value = wording.rate(found.mean).text
    return estimated(found, x, value, f"{value} {half_width(found)}".strip())


def estimated(found: Estimate, x: float, value: str, text: str, scale: float = 1.0) -> Point:
    """Return an estimate with its interval at `x`, its figures divided by `scale`."""
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    return Point(
        x,
        found.mean / scale,
        low / scale if low is not None else None,
        high / scale if high is not None else None,
        text=text,
        value=value,
    )


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
        statement=None,
        subtitle=f"{question(cells, scenario)}. From one histogram per cell, merged over trials.",
        reading="Lower is better; both axes are logarithmic. Every active connection waits for "
        "its reply before it sends again. This is therefore time in the queue at full load, not "
        "the latency of a lightly loaded client.",
        series=lines(analysis, cells, colours, _latency_point),
        bars=(),
        header=header,
        rows=rows,
    )


def lines(
    analysis: Analysis,
    cells: Sequence[Cell],
    colours: dict[str, int],
    point: Callable[[Cell], Point | None],
) -> tuple[Series, ...]:
    """Return one line per server through the points of its cells, broken at cells without one."""
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
    """Return the text at the end of a line that a declared ceiling ended; empty otherwise."""
    capped = [
        cell
        for cell in analysis.cells
        if cell.variant == variant
        and cell.count(CellStatus.CAPPED)
        and cell.key.connections <= connections
    ]
    held = [cell.held for cell in capped if cell.held is not None]
    return f"stops at {max(held):,}" if held else "stops" if capped else ""
