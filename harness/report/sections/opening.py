"""Show how connections open: the course of the largest ramp, and the figures of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.analysis import claims, wording
from harness.analysis.results import Analysis, Cell
from harness.contract.statuses import CellStatus
from harness.report.charts.figure_data import Figure, Point, Series, stop_of
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE

# Columns that are left out if no self-test proves latencies
LATENCIES = ("connect p99 ms", "first echo p99 ms")


def figures(analysis: Analysis, variants: Sequence[Variant]) -> Iterator[Figure]:
    """Yield the course of the largest ramp; nothing if no ramp was measured."""
    colours = {variant.name: variant.colour for variant in variants}
    cells = [cell for cell in analysis.cells if cell.ramp]
    if not cells:
        return
    most = max(cell.key.connections for cell in cells)
    largest = [cell for cell in cells if cell.key.connections == most]
    series = tuple(
        Series(
            cell.variant,
            colours.get(cell.variant, 0),
            _ramp_label(cell),
            tuple(
                Point(ms / 1e3, held, text=f"{held:,.0f} after {wording.seconds(ms / 1e3)}")
                for ms, held in cell.ramp.timeline
            ),
            stop_of(analysis, cell.variant, most) if cell.count(CellStatus.CAPPED) else "",
        )
        for cell in largest
        if cell.ramp and cell.ramp.timeline
    )
    is_timed = any(cell.ramp and cell.ramp.connect_p99_us for cell in cells)
    yield Figure(
        id="fig-ramp",
        kind="ramp",
        title=f"Opening {most:,} connections at once",
        statement=claims.extremes(
            f"{{}} opens {most:,} connections in {{}}, {{}} in {{}}",
            {
                cell.variant: cell.ramp.time_to_n_s
                for cell in largest
                if cell.ramp and cell.ramp.time_to_n_s
            },
            analysis.looks.last,
            wording.seconds,
        ),
        subtitle="A connection counts as established after its first verified echo."
        f"{_storm(largest)}",
        reading="Each line is the trial nearest to the server's median time. The dashed line is "
        "the number of connections asked for.",
        series=tuple(sorted(series, key=lambda one: -one.points[-1].x)),
        bars=(),
        header=(
            *("server", "connections", "established", "time to all"),
            *(LATENCIES if is_timed else ()),
            *("never established", "accept queue overflows"),
        ),
        rows=tuple(_ramp_row(cell, is_timed=is_timed) for cell in cells),
        target=most,
    )


def _storm(cells: Sequence[Cell]) -> str:
    """Describe how long connect() took, and overflows of accept queues, over all servers."""
    ramps = [cell.ramp for cell in cells if cell.ramp]
    waits = [ramp.connect_p99_us for ramp in ramps if ramp.connect_p99_us]
    words = ""
    if waits:
        low, high = wording.millis(min(waits)), wording.millis(max(waits), " ms")
        words = f" The p99 of connect() is {low} to {high}"
    most = max((ramp.overflows for ramp in ramps), default=0)
    if words:
        words += f"; accept queues overflowed {most:,} times at most." if most else "."
    return words


def _ramp_label(cell: Cell) -> str:
    time = cell.ramp.time_to_n_s if cell.ramp else None
    return f"{cell.variant} {wording.seconds(time.mean)}" if time else cell.variant


def _ramp_row(cell: Cell, *, is_timed: bool) -> tuple[str, ...]:
    assert cell.ramp is not None  # noqa: S101 (chosen for having it)
    ramp = cell.ramp
    latencies = (ramp.connect_p99_us, ramp.hello_p99_us) if is_timed else ()
    return (
        cell.variant,
        f"{cell.key.connections:,}",
        f"{cell.held:,}" if cell.held is not None else NONE,
        wording.seconds(ramp.time_to_n_s.mean).text if ramp.time_to_n_s else NONE,
        *(wording.millis(us).text if us else NONE for us in latencies),
        f"{ramp.failed:,}",
        f"{ramp.overflows:,}",
    )
