"""What the title of a chart may claim: only what the rules of the ranking tell apart. Pure.

Rule 1: a title compares two figures only if both have a value in three blocks of the last look, and
their paired ratio is different or equivalent at the confidence of the family.
Rule 2: the mechanism comes first: servers of one mechanism that do the same are named by it.
Rule 3: what no comparison supports has no claim: the chart keeps its neutral title.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.findings import Finding, Name, Part, fill, names
from harness.analysis.intervals import Comparison, Estimate, compare
from harness.analysis.looks import Look
from harness.analysis.ranking import NONCONFORMING
from harness.analysis.results import Analysis, Cell
from harness.analysis.series import Series
from harness.analysis.wording import Quantity

# What a server pays for as N grows, by scenario.
PAYS_FOR = {"idle": "idle connections", "active": "active connections"}
NAMED_MAX = 4


@dataclass(frozen=True, slots=True)
class _Growth:
    """The rate of one server at the smallest N over that at the largest, by block."""

    series: Series
    comparison: Comparison


def scaling(
    analysis: Analysis, cells: Sequence[Cell], scenario: str, mechanisms: Mapping[str, str]
) -> Finding | None:
    """Which mechanisms pay for further connections, and which do not; None if that is not shown.

    Args:
        cells: of this scenario.
        mechanisms: {server: its architecture}.
    """
    look = analysis.looks.last
    if look is None or scenario not in PAYS_FOR:
        return None
    growths = _growths(analysis, cells, scenario, look)
    known = {name: mechanisms.get(name) or name for name in growths}
    flat = {name for name, one in growths.items() if one.comparison.outcome == "equivalent"}
    paying = {name for name, one in growths.items() if _is_slower(one.comparison)}
    what = PAYS_FOR[scenario]
    more = _split(growths, paying, look)
    rest = set(growths) - more
    if more and rest:
        some, others = _named(more, known), _named(rest, known)
        if rest <= flat:
            ends = " does not" if len(others) == 1 else " do not"
            return _claim(*names(some), f" {_pays(some)} for {what}; ", *names(others), ends)
        return _claim(*names(some), f" {_pays(some)} more for {what} than ", *names(others))
    if growths and paying == set(growths):
        return _claim(*names(_named(paying, known)), f" {_pays(list(paying))} for {what}")
    if growths and flat == set(growths):
        words = "does" if len(_named(flat, known)) == 1 else "do"
        return _claim(*names(_named(flat, known)), f" {words} not pay for {what}")
    return None


def extremes(
    template: str,
    values: Mapping[str, Estimate],
    look: Look | None,
    written: Callable[[float], Quantity],
) -> Finding | None:
    """A sentence about the lowest and the highest of `values`, if the two are shown to differ.

    `template` has four holes: name, value, name, value.
    """
    if look is None or len(values) < 2:
        return None
    ordered = sorted(values, key=lambda name: (values[name].mean, name))
    low, high = ordered[0], ordered[-1]
    one, other = (look.until(values[name].series) for name in (high, low))
    found = compare(one, other, look.confidence(len(values)))
    # Over the blocks in common the order may be another than that of the means
    if found is None or not _is_slower(found):
        return None
    holes = (Name(low), written(values[low].mean), Name(high), written(values[high].mean))
    return Finding("shape", fill(template, *holes))


def _split(growths: Mapping[str, _Growth], paying: set[str], look: Look) -> set[str]:
    """Those that pay more than all others, if every pair of the two groups is shown to differ.

    Of all such groups the one with the widest gap to the others; empty if there is none.
    """
    confidence = look.confidence(len(growths))
    ordered = sorted(growths, key=lambda name: (-growths[name].comparison.ratio, name))

    def is_apart(name: str, other: str) -> bool:
        found = compare(growths[name].series, growths[other].series, confidence)
        return found is not None and _is_slower(found)

    ratios = [growths[name].comparison.ratio for name in ordered]
    splits = [(ratios[size - 1] / ratios[size], size) for size in range(1, len(ordered))]
    for _, size in sorted(splits, reverse=True):
        more, rest = ordered[:size], ordered[size:]
        if set(more) <= paying and all(is_apart(one, other) for one in more for other in rest):
            return set(more)
    return set()


def _growths(
    analysis: Analysis, cells: Sequence[Cell], scenario: str, look: Look
) -> dict[str, _Growth]:
    """The growth of each server that was measured at the smallest and the largest N of all."""
    barred = {row.variant for row in analysis.rows if row.note == NONCONFORMING}
    ends = {name: pair for name, pair in _ends(cells, scenario).items() if name not in barred}
    if not ends:
        return {}
    least = min(first.key.connections for first, _ in ends.values())
    most = max(last.key.connections for _, last in ends.values())
    full = {
        name: (first.efficiency, last.efficiency)
        for name, (first, last) in ends.items()
        if (first.key.connections, last.key.connections) == (least, most) and first is not last
    }
    confidence = look.confidence_of(len(full))
    found = {}
    for name, (first, last) in full.items():
        if first is None or last is None:
            continue
        one, other = look.until(first.series), look.until(last.series)
        if comparison := compare(one, other, confidence):
            ratios = {block: math.exp(log) for block, log in one.log_ratios(other).items()}
            found[name] = _Growth(Series.of_blocks(ratios), comparison)
    return found


def _ends(cells: Sequence[Cell], scenario: str) -> dict[str, tuple[Cell, Cell]]:
    """The cells of each server at its smallest and its largest N."""
    ends: dict[str, tuple[Cell, Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.key.order):
        if cell.key.scenario == scenario and cell.efficiency:
            ends[cell.variant] = (ends.get(cell.variant, (cell, cell))[0], cell)
    return ends


def _named(chosen: set[str], mechanisms: Mapping[str, str]) -> list[str]:
    """Name servers by their mechanism where all servers of it are among them.

    Mechanisms that differ after a hyphen only (`epoll-lt`, `epoll-et`) become one word.
    """
    found: dict[str, None] = {}
    for name in sorted(chosen):
        root = mechanisms[name].partition("-")[0]
        alike = {one for one in mechanisms if mechanisms[one].partition("-")[0] == root}
        same = {one for one in alike if mechanisms[one] == mechanisms[name]}
        if alike <= chosen:
            found[_common({mechanisms[one] for one in alike})] = None
        else:
            found[mechanisms[name] if same <= chosen else name] = None
    listed = list(found)
    if len(listed) <= NAMED_MAX:
        return listed
    return [*listed[: NAMED_MAX - 1], f"{len(listed) - NAMED_MAX + 1} others"]


def _common(mechanisms: set[str]) -> str:
    """The words that all of them begin with: `epoll` of `epoll-lt` and `epoll-et`."""
    words = zip(*(one.split("-") for one in sorted(mechanisms)), strict=False)
    shared = itertools.takewhile(lambda column: len(set(column)) == 1, words)
    return "-".join(column[0] for column in shared)


def _is_slower(found: Comparison) -> bool:
    return found.outcome == "different" and found.ratio > 1


def _pays(listed: Sequence[str]) -> str:
    return "pays" if len(listed) == 1 else "pay"


def _claim(*parts: Part) -> Finding:
    return Finding("shape", parts)
