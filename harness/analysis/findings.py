"""Sentences that the analysis supports, each with the numbers it is made of. Pure.

Rule 1: a number enters a sentence as a `Quantity` taken from the analysis, never as text, so a
test can prove that every number in a verdict occurs in the data.
Rule 2: no finding without its comparison: what was not told apart is not ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis import wording
from harness.analysis.intervals import Comparison
from harness.analysis.ranking import NONCONFORMING
from harness.analysis.results import Analysis, Cell, CellKey, Contrast, RankGroup, Row
from harness.analysis.wording import Quantity
from harness.contract.statuses import CellStatus

# A verdict is read at a glance: no long list of names.
FIRST_NAMED_MAX = 4
# A resource is worth a sentence where it costs twice the usual.
OUTLIER_RATIO_MIN = 2.0
OUTLIER_VARIANTS_MIN = 3
# A loop that sleeps once for several events stays below; a thread per connection sleeps after each.
SWITCHES_MIN = 0.5
# A crossover is worth a sentence where the ratio to the best at least doubles with N.
GROWTH_MIN = 2.0

Kind = Literal[
    "winner",
    "tie",
    "unranked",
    "growth",
    "ceiling",
    "memory",
    "switches",
    "generator",
    "shape",
    "noise",
    "cpu-time",
]


@dataclass(frozen=True, slots=True)
class Name:
    """A variant, as it is written in a sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    """Words that somebody else wrote: their numbers are not ours."""

    text: str


Part = str | Name | Quote | Quantity


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, in parts, so that the report can set names apart."""

    kind: Kind
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The whole sentence."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def numbers(self) -> tuple[Quantity, ...]:
        """The numbers in it."""
        return tuple(part for part in self.parts if isinstance(part, Quantity))


def find(campaign: Mapping[str, Any], analysis: Analysis) -> tuple[Finding, ...]:
    """All findings of a campaign, the most important first."""
    found = [
        *_winners(analysis),
        *_growth(analysis),
        *_ceilings(analysis),
        *_outliers(analysis),
        *_generator(analysis),
        *_noise(analysis),
    ]
    return tuple(found)


def verdict(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """At most two sentences: who is first, then what N changes, what stops and what costs."""
    first, rest = _chosen(findings)
    return (*first, *([_joined(rest)] if rest else []))


def further(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings that the verdict does not contain."""
    first, rest = _chosen(findings)
    return tuple(one for one in findings if one not in first and one not in rest)


def _chosen(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What the first sentence of the verdict says, and what the second one joins."""
    first = [one for one in findings if one.kind in ("winner", "tie", "unranked")][:1]
    kinds = ("growth", "ceiling", "memory")
    firsts = (next((one for one in findings if one.kind == kind), None) for kind in kinds)
    return first, [one for one in firsts if one is not None]


def _winners(analysis: Analysis) -> Iterable[Finding]:
    ranked = [group for group in analysis.groups if any(row.is_best for row in group.rows)]
    if not ranked:
        yield _unranked(analysis)
        return
    key = analysis.headline.key
    assert key is not None  # noqa: S101 (a group has a best only at a headline)
    for group in ranked:
        width = _width(group) if len(analysis.groups) > 1 else ()
        first = _contenders(group)
        yield _tie(group, first, key, width) if len(first) > 1 else _alone(group, key, width)


def _contenders(group: RankGroup) -> list[Row]:
    """All that may be first; where that is the best alone, and others may be as good, they too."""
    ranked = [row for row in group.rows if row.places]
    first = [row for row in ranked if row.is_best or (row.places and row.places[0] == 1)]
    if len(first) > 1 or first[0].places == (1, 1):
        return first
    return first + [
        row for row in ranked if row.comparison and row.comparison.outcome != "different"
    ]


def _unranked(analysis: Analysis) -> Finding:
    """The reason is in the validity line alone."""
    yet = " yet" if analysis.unranked and analysis.unranked.waits else ""
    return Finding("unranked", (f"No server is ranked{yet}.",))


def _tie(group: RankGroup, first: Sequence[Row], key: CellKey, width: tuple[Part, ...]) -> Finding:
    tied = {row.variant for row in first}
    among = [pair.comparison for pair in group.pairs if {pair.one, pair.other} <= tied]
    are_equal = all(one and one.outcome == "equivalent" for one in among)
    verb = " tie for first" if are_equal else " are too close to call for first place"
    rates = sorted((_rate(row) for row in first), reverse=True)
    widest = max(filter(None, among), key=lambda one: one.interval.high / one.interval.low)
    parts = (
        *_some(row.variant for row in first),
        *(verb, *width, *_at(key), ": ", wording.rate(rates[0])),
        *(" and " if len(rates) == 2 else " to ", wording.rate(rates[-1])),
        " echoes per CPU second (",
        *("ratio " if len(among) == 1 else "widest ratio ", wording.times(widest.ratio), ", "),
        *(*_interval(widest), ")."),
    )
    return Finding("tie", parts)


def _alone(group: RankGroup, key: CellKey, width: tuple[Part, ...]) -> Finding:
    best = next(row for row in group.rows if row.is_best)
    compared = [row for row in group.rows if row.comparison]
    following = min(compared, key=lambda row: row.comparison.ratio if row.comparison else 0)
    assert following.comparison is not None  # noqa: S101 (chosen for having one)
    parts = (
        Name(best.variant),
        " is first",
        *width,
        *_at(key),
        *fill(": {} echoes per CPU second, ", wording.rate(_rate(best))),
        *fill("{} the rate of ", wording.times(following.comparison.ratio)),
        Name(following.variant),
        " (",
        *_interval(following.comparison),
        ").",
    )
    return Finding("winner", parts)


def _growth(analysis: Analysis) -> Iterable[Finding]:
    """Variants whose distance to the best grows from the smallest N to the headline's."""
    key = analysis.headline.key
    if key is None:
        return
    grown: list[tuple[float, Contrast, Contrast]] = []
    for row in analysis.rows:
        here = analysis.contrast(row.variant, key)
        small = _smallest(analysis, row.variant, key)
        if here and small and here.comparison.outcome == "different":
            grown.append((here.comparison.ratio / small.comparison.ratio, here, small))
    for growth, here, small in sorted(grown, key=lambda one: (-one[0], one[1].variant)):
        if growth < GROWTH_MIN:
            return
        there = fill(
            "{} is {} slower than {} there (CI ",
            *(Name(here.variant), wording.times(here.comparison.ratio)),
            Name(here.best),
        )
        parts = (*there, *_bounds(here.comparison), ")", *_against(small), ".")
        yield Finding("growth", parts)


def _smallest(analysis: Analysis, variant: str, key: CellKey) -> Contrast | None:
    """The contrast at the smallest N of the headline's scenario, when that is not the headline."""
    smaller = [
        one
        for one in analysis.contrasts
        if one.variant == variant
        and one.key.scenario == key.scenario
        and one.key.connections < key.connections
    ]
    return min(smaller, key=lambda one: one.key.order, default=None)


def _against(small: Contrast) -> tuple[Part, ...]:
    connections = wording.count(small.key.connections)
    ratio = small.comparison.ratio
    if small.comparison.outcome == "equivalent":
        return fill(", but equal to it at {}", connections)
    if small.comparison.outcome == "inconclusive":
        return fill(", but not settled at {}", connections)
    if ratio < 1:
        return fill(", but ahead of it at {} ({})", connections, wording.times(ratio))
    return fill(", and {} at {}", wording.times(ratio), connections)


def _ceilings(analysis: Analysis) -> Iterable[Finding]:
    for row in analysis.rows:
        own = (cell for cell in analysis.cells if cell.variant == row.variant)
        capped = (cell for cell in own if cell.count(CellStatus.CAPPED))
        held = [cell.held for cell in capped if cell.held is not None]
        if held:
            yield Finding(
                "ceiling",
                fill("{} stops at {} connections.", Name(row.variant), wording.count(max(held))),
            )


def _outliers(analysis: Analysis) -> Iterable[Finding]:
    """Of each resource the variant that uses most, where that is worth a sentence."""
    if most := _most(analysis, lambda row: row.memory_ratio):
        cell, ratio = most
        if cell.memory and (total := cell.memory.total) is not None:
            text = "{} takes {} KiB of memory per connection, {} the median."
            yield _outlier("memory", text, cell, wording.kib(total), ratio)
    if most := _most(analysis, lambda row: row.switches_ratio):
        cell, ratio = most
        if (switches := cell.switches_per_echo or 0.0) >= SWITCHES_MIN:
            text = "{} switches context {} times per echo, {} the median."
            yield _outlier("switches", text, cell, wording.plain(switches), ratio)


def _most(analysis: Analysis, ratio_of: Callable[[Row], float | None]) -> tuple[Cell, float] | None:
    rows = [row for row in analysis.rows if row.cell and row.note != NONCONFORMING]
    found = [(ratio, row.variant, row.cell) for row in rows if (ratio := ratio_of(row))]
    if len(found) < OUTLIER_VARIANTS_MIN:
        return None
    ratio, _, cell = max(found, key=lambda one: one[:2])
    return (cell, ratio) if cell and ratio > OUTLIER_RATIO_MIN else None


def _outlier(kind: Kind, text: str, cell: Cell, used: Quantity, ratio: float) -> Finding:
    return Finding(kind, fill(text, Name(cell.variant), used, wording.times(ratio)))


def _generator(analysis: Analysis) -> Iterable[Finding]:
    known = [row for row in analysis.rows if row.cell and row.cell.saturated is not None]
    limited = [row for row in known if row.cell and not row.cell.saturated]
    if limited:
        text = "The server's CPU was not the limit for {} of {}: raw echoes/s are lower bounds (≥)."
        counts = (wording.count(len(rows)) for rows in (limited, known))
        yield Finding("generator", fill(text, *counts))


def _noise(analysis: Analysis) -> Iterable[Finding]:
    """The variant that ran twice: its worst cell where that differs, else the headline's."""
    differing = [one for one in analysis.floor if one.comparison.outcome == "different"]
    shown = differing or [one for one in analysis.floor if one.key == analysis.headline.key]
    shown = shown or list(analysis.floor)
    if not shown:
        return
    one = max(shown, key=lambda one: abs(one.comparison.ratio - 1))
    verb = "differs from itself" if differing else "against itself"
    yield Finding(
        "noise",
        (
            *fill(f"Noise floor: {{}} {verb}, {one.key.scenario}", Name(one.best)),
            *_at(one.key),
            *fill(", by {} (", wording.times(one.comparison.ratio)),
            *_interval(one.comparison),
            ").",
        ),
    )


def _joined(findings: Sequence[Finding]) -> Finding:
    """Two sentences as one, with a semicolon."""
    parts: list[Part] = []
    for position, finding in enumerate(findings):
        is_last = position == len(findings) - 1
        for part in finding.parts:
            ends = isinstance(part, str) and part.endswith(".") and part is finding.parts[-1]
            parts.append(f"{part[:-1]}; " if ends and not is_last else part)  # type: ignore[index]
    return Finding(findings[0].kind, tuple(parts))


def _at(key: CellKey) -> tuple[Part, ...]:
    return fill(
        " at {} connections ({} active)", *map(wording.count, (key.connections, key.active))
    )


def _width(group: RankGroup) -> tuple[Part, ...]:
    return fill(" among those with {} workers", Quote(group.workers))


def _interval(comparison: Comparison) -> tuple[Part, ...]:
    return (*fill("{} CI ", wording.confidence(comparison.confidence)), *_bounds(comparison))


def _bounds(comparison: Comparison) -> tuple[Part, ...]:
    ends = (comparison.interval.low, comparison.interval.high)
    return fill("{}–{}", *(wording.bound(end, comparison.ratio) for end in ends))


def _rate(row: Row) -> float:
    return row.efficiency.mean if row.efficiency else 0.0


def _some(listed: Iterable[str]) -> tuple[Part, ...]:
    """`a, b and c`; of many the first ones, and how many others."""
    known = list(listed)
    if len(known) <= FIRST_NAMED_MAX:
        return names(known)
    shown = [part for name in known[: FIRST_NAMED_MAX - 1] for part in (Name(name), ", ")][:-1]
    return (*shown, *fill(" and {} others", wording.count(len(known) - FIRST_NAMED_MAX + 1)))


def names(found: Iterable[str]) -> tuple[Part, ...]:
    """`a, b and c`."""
    listed = list(found)
    parts: list[Part] = []
    for position, name in enumerate(listed):
        if position:
            parts.append(" and " if position == len(listed) - 1 else ", ")
        parts.append(Name(name))
    return tuple(parts)


def fill(template: str, *values: Part) -> tuple[Part, ...]:
    """Put `values` where `template` has `{}`; braces inside values stay what they are."""
    texts = template.split("{}")
    parts: list[Part] = [texts[0]]
    for value, text in zip(values, texts[1:], strict=True):
        parts += [value, text]
    return tuple(part for part in parts if part != "")
