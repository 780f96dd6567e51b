"""Choose which servers stand out in charts, and the marker and dash of each line.

Rule 1: a page has eight colours that readers can distinguish (tests/report/test_colours.py). With
more servers the best, the capped and then the best of each further mechanism have one: mechanisms
of many servers first, and `epoll-lt` and `epoll-et` count as one. The rest are grey and have no
label. The page's script colours those that a reader pins or points at.
Rule 2: no meaning depends on colour alone: the marker shows the mechanism, the dash the language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.analysis.results import Analysis
from harness.contract.statuses import CellStatus
from harness.report.charts.figure_data import Figure, Series
from harness.report.sections.background import Variant

COLOURS = 8
SHAPES = (
    *("circle", "square", "triangle-up", "diamond", "cross"),
    *("triangle-down", "triangle-right", "triangle-left"),
)
# Lengths of lines and gaps in pixels; the most frequent language has a whole line.
DASHES: tuple[tuple[int, ...], ...] = (
    *((), (7, 3), (2, 2), (9, 3, 2, 3), (4, 4), (12, 4), (1, 3), (6, 2, 1, 2, 1, 2)),
)


@dataclass(frozen=True, slots=True)
class Emphasis:
    """How the servers of one report are drawn.

    Attributes:
        palette: {a server's number: its place in the page's colours}; the others are grey.
        shapes: {mechanism: marker} of the servers that have a colour.
        dashes: {language: dash}.
    """

    palette: Mapping[int, int]
    shapes: Mapping[str, str]
    dashes: Mapping[str, tuple[int, ...]]
    servers: int

    @property
    def quiet(self) -> int:
        """How many servers are grey."""
        return self.servers - len(self.palette)


def emphasis(analysis: Analysis, variants: Sequence[Variant]) -> Emphasis:
    """Return how the servers of a campaign are drawn."""
    chosen = [variant.name for variant in variants]
    if len(variants) > COLOURS:
        chosen = _chosen(analysis, variants)
    loud = [variant for variant in variants if variant.name in chosen]
    mechanisms = sorted({variant.architecture for variant in loud})
    languages = Counter(variant.language for variant in variants)
    ordered = sorted(languages, key=lambda name: (-languages[name], name))
    return Emphasis(
        palette={colour: place for place, colour in enumerate(variant.colour for variant in loud)},
        shapes={name: SHAPES[place % len(SHAPES)] for place, name in enumerate(mechanisms)},
        dashes={name: DASHES[place % len(DASHES)] for place, name in enumerate(ordered)},
        servers=len(variants),
    )


def applied(
    figures: Iterable[Figure], known: Emphasis, variants: Sequence[Variant]
) -> tuple[Figure, ...]:
    """Return the charts with the marker, dash and emphasis of each series."""
    by_name = {variant.name: variant for variant in variants}

    def styled(figure: Figure) -> Figure:
        series = tuple(_styled(one, known, by_name.get(one.variant)) for one in figure.series)
        return replace(figure, series=series)

    return tuple(map(styled, figures))


def _styled(series: Series, known: Emphasis, variant: Variant | None) -> Series:
    if variant is None:
        return series
    return replace(
        series,
        shape=known.shapes.get(variant.architecture, SHAPES[0]),
        dash=known.dashes[variant.language],
        is_quiet=variant.colour not in known.palette,
    )


def _chosen(analysis: Analysis, variants: Sequence[Variant]) -> list[str]:
    """The servers that have a colour, the most important first."""
    mechanisms = {variant.name: variant.architecture.partition("-")[0] for variant in variants}
    frequent = Counter(mechanisms.values())
    ranked = [row.variant for row in analysis.rows if row.variant in mechanisms]
    names = sorted([*ranked, *mechanisms], key=lambda name: -frequent[mechanisms[name]])
    best = [row.variant for row in analysis.rows if row.is_best]
    capped = [
        row.variant
        for row in analysis.rows
        if row.cell is not None and row.cell.status == CellStatus.CAPPED
    ]
    chosen = list(dict.fromkeys([*best, *capped]))[:COLOURS]
    for name in names:
        seen = {mechanisms.get(one) for one in chosen}
        if len(chosen) < COLOURS and mechanisms.get(name) not in seen:
            chosen.append(name)
    return list(dict.fromkeys([*chosen, *ranked, *mechanisms]))[:COLOURS]
