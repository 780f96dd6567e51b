"""Explain the headline: switches, wake-ups and threads over connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.analysis import wording
from harness.analysis.results import Analysis, Cell
from harness.analysis.wording import Quantity
from harness.report.charts.figure_data import Figure, Point, lines, question
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE


@dataclass(frozen=True, slots=True)
class Measure:
    """One quantity of a cell: how to get it, how to write it and how to read its chart."""

    id: str
    title: str
    axis: str
    reading: str
    value: Callable[[Cell], float | None]
    written: Callable[[float], Quantity]
    scenarios: tuple[str, ...] = ("idle", "active")


MEASURES = (
    Measure(
        "switches",
        "Context switches per echo",
        "switches per echo",
        "Voluntary and involuntary switches of the server's threads. A loop that gets several "
        "events per wake-up switches less than once per echo. A thread that serves one connection "
        "sleeps after each echo.",
        lambda cell: cell.switches_per_echo,
        wording.plain,
    ),
    Measure(
        "wake-ups",
        "Events per wake-up",
        "descriptors that one wait reports",
        "All events of one wait share its cost; the server counts both. Near one, every echo pays "
        "for a wait. A thread that blocks in recv has no such waits and is not drawn.",
        lambda cell: cell.events_per_wake_up,
        wording.plain,
    ),
    Measure(
        "threads",
        "Threads of the server",
        "threads",
        "Threads of all the server's processes, read in the window.",
        lambda cell: cell.threads,
        wording.count,
        ("idle",),
    ),
)


def figures(analysis: Analysis, variants: Sequence[Variant]) -> tuple[Figure, ...]:
    """Return the charts of the measured quantities, `idle` next to `active`."""
    colours = {variant.name: variant.colour for variant in variants}
    return tuple(
        figure
        for measure in MEASURES
        for scenario in measure.scenarios
        for figure in _figure(analysis, measure, scenario, colours)
    )


def _figure(
    analysis: Analysis, measure: Measure, scenario: str, colours: dict[str, int]
) -> Iterator[Figure]:
    cells = [
        cell
        for cell in analysis.cells
        if cell.key.scenario == scenario and measure.value(cell) is not None
    ]
    if not cells:
        return
    values = [measure.value(cell) or 0.0 for cell in cells]
    steps = sorted({cell.key.connections for cell in cells})
    is_log = min(values) > 0
    kind = "Logarithmic" if is_log else "Linear, from zero"
    yield Figure(
        id=f"fig-{scenario}-{measure.id}",
        kind="why",
        title=measure.title,
        statement=None,
        subtitle=f"{question(cells, scenario)}. Median of trials. {kind}.",
        reading=measure.reading,
        series=lines(analysis, cells, colours, lambda cell: _point(measure, cell)),
        bars=(),
        header=("server", *(f"{connections:,}" for connections in steps)),
        rows=_matrix(measure, cells, steps),
        y_title=measure.axis,
        is_log=is_log,
    )


def _matrix(
    measure: Measure, cells: Sequence[Cell], steps: Sequence[int]
) -> tuple[tuple[str, ...], ...]:
    """Return one row per server, with one column per number of connections."""
    known = {
        (cell.variant, cell.key.connections): measure.written(measure.value(cell) or 0.0).text
        for cell in cells
    }
    names = sorted({cell.variant for cell in cells})
    return tuple((name, *(known.get((name, step), NONE) for step in steps)) for name in names)


def _point(measure: Measure, cell: Cell) -> Point | None:
    value = measure.value(cell)
    if value is None:
        return None
    text = measure.written(value).text
    return Point(cell.key.connections, value, text=text)
