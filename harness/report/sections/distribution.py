"""Show the latency distribution at the headline, which is that of a closed loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.analysis.results import Analysis
from harness.report.charts.figure_data import Figure, Series
from harness.report.sections.background import Variant
from harness.report.sections.paced import HEADER, curve, numbers

# 1 / (1 - p) up to 99.99 %: beyond it are single stalls of the host.
X_MAX = 1e4


def figures(analysis: Analysis, variants: Sequence[Variant]) -> Iterator[Figure]:
    """Yield the chart, if the headline's cells have their histograms."""
    colours = {variant.name: variant.colour for variant in variants}
    cells = [
        cell
        for cell in analysis.cells
        if cell.key == analysis.headline.key and cell.latency_us and cell.latency_us.curve
    ]
    if not cells:
        return
    key = cells[0].key
    yield Figure(
        id="fig-distribution",
        kind="percentiles",
        title="Distribution of the time to a reply at full load (closed loop)",
        statement=None,
        subtitle=f"{key.connections:,} connections, {key.active:,} active. From the merged "
        "histograms of all trials.",
        reading="Lower is better. Each active connection sends again as soon as it has its reply, "
        "so this is time in the queue at full load: with as many messages in flight, half the rate "
        "means twice the time. A level line means that all replies took about the same time. To "
        "the right of 99 % are the slowest 1 %. The line ends at 99.99 %, or where fewer than ten "
        "replies are slower.",
        series=tuple(_cut(curve(cell, colours)) for cell in cells),
        bars=(),
        header=HEADER[:-1],
        rows=tuple(numbers(cell)[:-1] for cell in cells),
    )


def _cut(series: Series) -> Series:
    points = tuple(point for point in series.points if point.x <= X_MAX * (1 + 1e-9))
    return replace(series, points=points)
