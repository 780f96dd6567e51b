"""Show how even the rate of each server was over the campaign, at the headline."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from harness.analysis import wording
from harness.analysis.results import Analysis, Cell, Tenths
from harness.gates import USABLE
from harness.report.charts.figure_data import Figure, Point, Series
from harness.report.charts.strips import REACH
from harness.report.sections.background import Variant


def figures(analysis: Analysis, variants: Sequence[Variant]) -> Iterator[Figure]:
    """Yield the chart, if trials of the headline have the tenths of their windows."""
    colours = {variant.name: variant.colour for variant in variants}
    cells = [cell for cell in analysis.cells if cell.key == analysis.headline.key]
    known = [(cell, trials) for cell in cells if (trials := usable(cell))]
    if not known:
        return
    blocks = sorted({one.block for _, trials in known for one in trials})
    key = known[0][0].key
    yield Figure(
        id="fig-over-time",
        kind="strips",
        title="Rate over time",
        statement=None,
        subtitle=f"{key.connections:,} connections, {key.active:,} active: echoes per second in "
        "each tenth of each window, relative to the server's mean. Half a row is "
        f"{wording.share(REACH)}.",
        reading="A line is one trial. Level lines at one height mean that the host was steady. If "
        "all servers change in the same block, the host changed; the comparison is paired by "
        "block, so that cancels out. A line that slopes or jumps within a block makes the trial "
        "noisy. Rejected trials are not drawn.",
        series=tuple(_series(cell, trials, blocks, colours) for cell, trials in known),
        bars=(),
        header=(
            "server",
            "trials",
            "lowest tenth",
            "highest tenth",
            "lowest trial",
            "highest trial",
        ),
        rows=tuple(_row(cell, trials) for cell, trials in known),
        x_title="block",
        spans=tuple(map(str, blocks)),
    )


def usable(cell: Cell) -> tuple[Tenths, ...]:
    """Return the tenths of the trials that are in its figures."""
    return tuple(one for one in cell.tenths if one.status in USABLE)


def _mean(trials: Sequence[Tenths]) -> float:
    return statistics.fmean(statistics.fmean(one.per_s) for one in trials)


def _series(
    cell: Cell, trials: Sequence[Tenths], blocks: Sequence[int], colours: dict[str, int]
) -> Series:
    mean = _mean(trials)
    points = tuple(
        Point(blocks.index(one.block) + (place + 0.5) / len(one.per_s), rate / mean, segment=number)
        for number, one in enumerate(trials)
        for place, rate in enumerate(one.per_s)
    )
    low, high = (wording.change(end(point.y for point in points) - 1) for end in (min, max))
    told = f"tenths from {low} to {high} around the mean of {len(trials)} trials"
    return Series(cell.variant, colours.get(cell.variant, 0), told, points)


def _row(cell: Cell, trials: Sequence[Tenths]) -> tuple[str, ...]:
    mean = _mean(trials)
    tenths = [rate / mean - 1 for one in trials for rate in one.per_s]
    means = [statistics.fmean(one.per_s) / mean - 1 for one in trials]
    ends = (end(values) for values in (tenths, means) for end in (min, max))
    return (cell.variant, f"{len(trials)}", *(wording.change(one).text for one in ends))
