"""Show each server's ratio to the best at the headline, with one dot per trial."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.analysis import wording
from harness.analysis.results import Analysis, Cell, Contrast
from harness.report.charts.figure_data import Figure, Point, Series
from harness.report.sections.background import Variant
from harness.report.sections.tables import range_of

OUTCOMES = {"different": "different", "equivalent": "equivalent", "inconclusive": "not settled"}


def figures(analysis: Analysis, variants: Sequence[Variant]) -> Iterator[Figure]:
    """Yield the chart, if some server is compared with the best of its group."""
    key, look = analysis.headline.key, analysis.looks.last
    contrasts = [one for one in analysis.contrasts if one.key == key]
    if key is None or look is None or not contrasts:
        return
    colours = {variant.name: variant.colour for variant in variants}
    cells = {cell.variant: cell for cell in analysis.cells if cell.key == key}
    contrasts.sort(key=lambda one: (one.comparison.ratio, one.variant))
    ratios = {one.variant: by_block(one, cells, look.blocks) for one in contrasts}
    best = sorted({one.best for one in contrasts})
    against = best[0] if len(best) == 1 else "the best of its width"
    confidences = sorted({one.comparison.confidence for one in contrasts})
    shown = " and ".join(wording.confidence(one).text for one in confidences)
    yield Figure(
        id="fig-slower",
        kind="ratios",
        title="How much slower each trial was",
        statement=None,
        subtitle=f"{key.connections:,} connections, {key.active:,} active: rate of {against} over "
        f"that of the server in the same block. Bar: {shown} interval.",
        reading="A dot is one trial, the upright mark their geometric mean. If the bar lies to the "
        "right of 1.05, the server is slower. If all of it lies from 0.95 to 1.05, the two are "
        "equivalent. Otherwise more blocks are needed.",
        series=tuple(_series(one, ratios[one.variant], colours) for one in contrasts),
        bars=(),
        header=("server", "against", "slower by", "interval", "outcome", "trials", "from", "to"),
        rows=tuple(_row(one, ratios[one.variant]) for one in contrasts),
        x_title=f"times slower than {against}",
    )


def by_block(one: Contrast, cells: dict[str, Cell], last: int) -> dict[int, float]:
    """Return {block: rate of the best over the server's} up to block `last`."""
    best, own = cells[one.best].efficiency, cells[one.variant].efficiency
    assert best is not None  # noqa: S101 (the two are compared by it)
    assert own is not None  # noqa: S101
    logs = best.series.until(last).log_ratios(own.series.until(last))
    return {block: math.exp(log) for block, log in logs.items()}


def _series(one: Contrast, ratios: dict[int, float], colours: dict[str, int]) -> Series:
    found = one.comparison
    told = f"{wording.times(found.ratio)} ({range_of(found)})"
    mean = Point(
        0,
        found.ratio,
        found.interval.low,
        found.interval.high,
        text=f"{told} of {found.blocks} trials, {OUTCOMES[found.outcome]}",
        value=told,
    )
    trials = (Point(block, ratio) for block, ratio in ratios.items())
    return Series(one.variant, colours.get(one.variant, 0), one.variant, (mean, *trials))


def _row(one: Contrast, ratios: dict[int, float]) -> tuple[str, ...]:
    found = one.comparison
    return (
        one.variant,
        one.best,
        wording.times(found.ratio).text,
        range_of(found),
        OUTCOMES[found.outcome],
        f"{found.blocks}",
        *(wording.plain(end).text for end in (min(ratios.values()), max(ratios.values()))),
    )
