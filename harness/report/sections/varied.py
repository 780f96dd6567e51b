"""Show the effect of the size of a message, and of messages in flight: payload and depth.

With three sizes or more, a chart draws lines. With fewer, a line would suggest values that were not
measured: each server then has a row with a dot for each size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.analysis import wording
from harness.analysis.results import Analysis, Cell, CellKey
from harness.report.charts.figure_data import Figure, Series, lines, rate_point
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE, half_width, rate_of

LINE_SIZES_MIN = 3


@dataclass(frozen=True, slots=True)
class Varied:
    """A scenario that varies one thing at a fixed number of connections.

    Attributes:
        question: the scenario in words, with a placeholder for the active connections.
        name: what it varies; `size` reads that from a key.
    """

    scenario: str
    question: str
    name: str
    size: Callable[[CellKey], int]


VARIED = (
    Varied(
        "payload",
        "Scenarios idle and payload: {} active connections, messages of different sizes",
        "bytes per message",
        lambda key: key.payload_bytes,
    ),
    Varied(
        "depth",
        "Scenarios idle and depth: {} active connections, one or several messages in flight on "
        "each",
        "messages in flight per connection",
        lambda key: key.depth,
    ),
)


def figures(analysis: Analysis, variants: Sequence[Variant]) -> Iterator[Figure]:
    """Yield one chart for each measured one of `VARIED`, at its largest number of connections."""
    colours = {variant.name: variant.colour for variant in variants}
    for varied in VARIED:
        cells = [cell for cell in analysis.cells if cell.key.scenario == varied.scenario]
        if any(cell.efficiency for cell in cells):
            most = max(cell.key.connections for cell in cells)
            cells = [cell for cell in cells if cell.key.connections == most]
            cells = _with_usual(cells, analysis.cells, varied.size)
            yield _figure(analysis, cells, varied, colours)


def _with_usual(
    cells: Sequence[Cell], measured: Sequence[Cell], x_of: Callable[[CellKey], int]
) -> list[Cell]:
    """Return the cells of a scenario that varies one thing, and the matching ones of `idle`.

    So a profile with a single depth still has a line, which begins at depth 1.
    """

    def rest(key: CellKey) -> tuple[int, ...]:
        """Return all values but the varied one; payload × depth is divided by it."""
        return (key.connections, key.active, key.payload_bytes * key.depth // x_of(key))

    varied = {x_of(cell.key) for cell in cells}
    held = {rest(cell.key) for cell in cells}
    usual = [
        cell
        for cell in measured
        if cell.key.scenario == "idle" and rest(cell.key) in held and x_of(cell.key) not in varied
    ]
    return sorted([*usual, *cells], key=lambda cell: x_of(cell.key))


def _figure(
    analysis: Analysis, cells: Sequence[Cell], varied: Varied, colours: dict[str, int]
) -> Figure:
    sizes = sorted({varied.size(cell.key) for cell in cells if cell.efficiency})
    is_line = len(sizes) >= LINE_SIZES_MIN
    active = max(cell.key.active for cell in cells)
    series = lines(analysis, cells, colours, lambda cell: rate_point(cell, varied.size(cell.key)))
    return Figure(
        id=f"fig-{varied.scenario}-efficiency",
        kind="efficiency" if is_line else "dots",
        title="Throughput per server CPU",
        statement=None,
        subtitle=f"{varied.question.format(f'{active:,}')}. Mean of trials; the band is the "
        "95 % interval.",
        reading=f"{'Higher' if is_line else 'Further right'} is better. The axis starts at zero, "
        f"so {'heights' if is_line else 'lengths'} are proportional to the values.",
        series=series if is_line else highest_first(series),
        bars=(),
        header=("server", varied.name, "echoes per CPU second", "interval", "echoes/s"),
        rows=tuple(
            (
                cell.variant,
                f"{varied.size(cell.key):,}",
                wording.rate(cell.efficiency.mean).text,
                half_width(cell.efficiency) or NONE,
                rate_of(cell),
            )
            for cell in cells
            if cell.efficiency
        ),
        x_title=f"{varied.name} (log)" if is_line else varied.name,
        y_title="" if is_line else "echoes per second of server CPU",
        levels=() if is_line else tuple(f"{size:,}" for size in sizes),
    )


def highest_first(series: Sequence[Series]) -> tuple[Series, ...]:
    """Sort rows of dots by their last dot, the highest first."""
    return tuple(sorted(series, key=lambda one: (-one.points[-1].y, one.variant)))
