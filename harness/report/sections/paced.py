"""Show latency at a fixed rate: the percentile curve at a common rate, and the tail as it rises.

The loop is open: messages leave at fixed times, whether replies came or not. Latency counts from
the intended send time. A client sees these latencies. Those of a closed loop mostly measure
queueing caused by the load itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.analysis import wording
from harness.analysis.results import Analysis, Cell, CellKey
from harness.report.charts.figure_data import Figure, Point, Series
from harness.report.sections.anchors import cell_word, is_out_of_reach
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE

HEADER = ("server", "p50", "p90", "p99", "p99.9", "max", "n", "self-delay p99")
OPEN = (
    "Messages leave at fixed times, whether replies came or not. Latency counts from the intended "
    "send time."
)


def figures(analysis: Analysis, variants: Sequence[Variant]) -> tuple[Figure, ...]:
    """Return the charts of the open loop; none if no cell was paced."""
    colours = {variant.name: variant.colour for variant in variants}
    paced = [cell for cell in analysis.cells if cell.key.is_open_loop]
    return (*_percentiles(paced, colours), *_rising(paced, colours))


def _percentiles(cells: Sequence[Cell], colours: dict[str, int]) -> Iterator[Figure]:
    """Yield one chart for each rate that is the same for all servers."""
    common = [cell for cell in cells if cell.key.rate_share is None and cell.latency_us]
    for key in sorted({cell.key for cell in common}, key=lambda key: key.order):
        drawn = [cell for cell in common if cell.key == key]
        yield Figure(
            id=f"fig-percentiles-{key.connections}-{key.rate_offered_per_s:g}",
            kind="percentiles",
            title=f"Latency at {_rate(key)}",
            statement=None,
            subtitle=f"{key.connections:,} connections, {key.active:,} active. {OPEN}",
            reading="Lower is better. To the right of 99 % are the slowest 1 % of the replies. The "
            "line ends where fewer than ten are slower. Latencies include the generator's own "
            "delay; the table has its p99.",
            series=tuple(curve(cell, colours) for cell in drawn),
            bars=(),
            header=HEADER,
            rows=tuple(numbers(cell) for cell in drawn),
        )


def curve(cell: Cell, colours: dict[str, int]) -> Series:
    """Return the percentile curve of a cell that has one."""
    assert cell.latency_us is not None  # noqa: S101 (chosen for having it)
    points = tuple(
        Point(x, us / 1e3, text=f"{1 - 1 / x:.6g} of replies in {wording.latency(us)}")
        for x, us in cell.latency_us.curve
    )
    return Series(cell.variant, colours.get(cell.variant, 0), cell.variant, points)


def numbers(cell: Cell) -> tuple[str, ...]:
    """Return the row of a cell's percentiles under `HEADER`."""
    found = cell.latency_us
    assert found is not None  # noqa: S101 (chosen for having it)
    shown = (found.p50, found.p90, found.p99, found.p999, found.max)
    return (
        cell.variant,
        *(wording.latency(us).text if us else NONE for us in shown),
        f"{found.count:,}",
        wording.latency(cell.self_delay_p99_us).text if cell.self_delay_p99_us else NONE,
    )


def _rising(cells: Sequence[Cell], colours: dict[str, int]) -> Iterator[Figure]:
    """Yield the tail over the offered rate: common rates, and shares of each server's capacity."""
    for connections in sorted({cell.key.connections for cell in cells if cell.key.rate_share}):
        drawn = [cell for cell in cells if cell.key.connections == connections]
        series = tuple(_approach(name, drawn, colours) for name in _names(drawn))
        if not any(one.points for one in series):
            continue
        yield Figure(
            id=f"fig-rising-{connections}",
            kind="load",
            title="Latency over the offered rate",
            statement=None,
            subtitle=f"{connections:,} connections. {OPEN} An open circle is a rate that this host "
            "cannot offer.",
            reading="Where a line is flat, the server has spare capacity; it bends up at the knee. "
            "The first point is the rate that all servers have in common, the others are shares of "
            "each server's own capacity. Out of reach: the load's CPUs are busy before the rate is "
            "reached, so the server's latency there is not known. More CPUs would tell. The tables "
            "of the servers have the reasons.",
            series=tuple(one for one in series if one.points),
            bars=(),
            header=(
                *("server", "of its capacity", "offered/s", "p50", "p99"),
                *("server busy", "self-delay p99", "status"),
            ),
            rows=tuple(_share_row(cell) for cell in drawn),
        )


def _names(cells: Sequence[Cell]) -> list[str]:
    return sorted({cell.variant for cell in cells})


def _approach(name: str, cells: Sequence[Cell], colours: dict[str, int]) -> Series:
    own = [cell for cell in cells if cell.variant == name and cell.offered_per_s is not None]
    ordered = sorted(own, key=lambda cell: cell.offered_per_s or 0.0)
    points: list[Point] = []
    beyond: list[Point] = []
    segment, is_gap = 0, False
    for cell in ordered:
        if cell.latency_us is None:
            is_gap = True
            if points and is_out_of_reach(cell):
                beyond.append(Point(cell.offered_per_s or 0.0, points[-1].y))
            continue
        segment += is_gap and bool(points)
        is_gap = False
        beyond.clear()
        text = f"p99 {wording.latency(cell.latency_us.p99)} at {_offered(cell)}"
        points.append(
            Point(cell.offered_per_s or 0.0, cell.latency_us.p99 / 1e3, segment=segment, text=text)
        )
    return Series(name, colours.get(name, 0), name, tuple(points), beyond=tuple(beyond))


def _offered(cell: Cell) -> str:
    """Return the offered rate in words."""
    if cell.key.rate_share is None:
        return "the common rate"
    return f"{wording.share(cell.key.rate_share)} of its capacity"


def _share_row(cell: Cell) -> tuple[str, ...]:
    found = cell.latency_us
    return (
        cell.variant,
        wording.share(cell.key.rate_share).text if cell.key.rate_share else "common rate",
        wording.rate(cell.offered_per_s).text if cell.offered_per_s else NONE,
        wording.latency(found.p50).text if found else NONE,
        wording.latency(found.p99).text if found else NONE,
        wording.share(cell.server_busy).text if cell.server_busy is not None else NONE,
        wording.latency(cell.self_delay_p99_us).text if cell.self_delay_p99_us else NONE,
        cell_word(cell),
    )


def _rate(key: CellKey) -> str:
    return f"{key.rate_offered_per_s:,.0f} echoes/s"
