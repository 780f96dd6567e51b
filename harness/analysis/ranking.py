"""Rank the servers by the headline, and find those that are too close to call.

Rule 1: one cell ranks: `idle`, 10,000 open connections, 100 of them active.
Rule 2: all pairs of the servers that can be ranked are compared, by the paired log-ratio over the
blocks of the last look (harness/analysis/looks.py).
Rule 3: what is not comparable is not ranked: other widths, experiments, void cells, ceilings.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.frame import planned_cells, profile_name
from harness.analysis.intervals import TRIALS_MIN, Comparison, Estimate, compare, estimate
from harness.analysis.looks import Look, Looks, compare_all
from harness.analysis.places import Place, places
from harness.analysis.results import Cell, CellKey, Contrast, Headline, Pair, RankGroup, Row
from harness.analysis.series import Series
from harness.contract.record import is_nonconforming
from harness.contract.statuses import CellStatus, FailureCode
from harness.gates import proof_coverage
from harness.plan.trial_plan import CALIBRATION_BLOCK

# The headline: many connections, of which few are active, as the C10K problem has it.
HEADLINE_SCENARIO = "idle"
HEADLINE_CONNECTIONS = 10_000
HEADLINE_ACTIVE = 100
HEADLINE = f"{HEADLINE_CONNECTIONS:,} connections, {HEADLINE_ACTIVE} of them active"
PLAN_IT = "Add one to the profile, or use `c10k run --profile quick`"
UNRANKED = "—"
NONCONFORMING = "does not conform: never ranked"

Values = Mapping[str, Series]


@dataclass(frozen=True, slots=True)
class _Context:
    """What the rows of all groups are made from."""

    chosen: Headline
    at_headline: Mapping[str, Cell]
    looks: Looks
    held: Mapping[str, int]
    memory_ratios: Mapping[str, float]
    switches_ratios: Mapping[str, float]

    def row(
        self,
        name: str,
        comparison: Comparison | None = None,
        note: str = "",
        place: Place | None = None,
    ) -> Row:
        cell = self.at_headline.get(name)
        return Row(
            variant=name,
            rank=place.rank if place else UNRANKED,
            is_best=place is not None and comparison is None,
            comparison=comparison,
            cell=cell,
            held=self.held.get(name),
            memory_ratio=self.memory_ratios.get(name),
            switches_ratio=self.switches_ratios.get(name),
            note=note,
            places=(place.best, place.worst) if place else None,
            is_settled=place is not None and place.is_settled,
            blocks_to_settle=place.blocks_to_settle if place else None,
            efficiency=_at_look(cell, self.looks.last) if cell else None,
        )


def barred(campaign: Mapping[str, Any]) -> dict[str, str]:
    """Servers that are never ranked, whatever is measured: `experimental` or `nonconforming`."""
    bars = {}
    for variant in campaign.get("variants") or ():
        if variant.get("status") == "experimental":
            bars[str(variant.get("name"))] = "experimental"
        elif is_nonconforming(variant):
            bars[str(variant.get("name"))] = FailureCode.NONCONFORMING
    return bars


def headline(campaign: Mapping[str, Any], cells: Sequence[Cell]) -> Headline:
    """The cell that ranks, or else the largest `idle` cell and why it does not rank."""
    planned = {key for _, key in planned_cells(campaign)} | {cell.key for cell in cells}
    idle = sorted(
        (key for key in planned if key.scenario == HEADLINE_SCENARIO), key=lambda key: key.order
    )
    if not idle:
        return Headline(None, False, "the plan has no idle cell", "headline", PLAN_IT)
    exact = [
        key
        for key in idle
        if (key.connections, key.active) == (HEADLINE_CONNECTIONS, HEADLINE_ACTIVE)
    ]
    code, why_not, advice = _why_not(campaign, is_exact=bool(exact))
    return Headline((exact or idle[-1:])[0], not why_not, why_not, code, advice)


def _why_not(campaign: Mapping[str, Any], *, is_exact: bool) -> tuple[str, str, str]:
    """Why this campaign cannot rank: code, reason and advice; empty when it can."""
    profile = campaign.get("profile") or {}
    if profile.get("ranked") is False:
        why = f"profile {profile_name(campaign)} is never ranked"
        return "profile", why, "Run one that ranks, such as `c10k run --profile quick`"
    if because := proof_coverage.why_none(campaign, "ranking"):
        return proof_coverage.CODE, because, proof_coverage.advice(campaign)
    if not is_exact:
        return "headline", f"the plan has no idle cell with {HEADLINE}", PLAN_IT
    blocks = {trial.get("block") for trial in campaign.get("plan") or ()} - {CALIBRATION_BLOCK}
    if blocks and len(blocks) < TRIALS_MIN:
        why = f"ranking needs {TRIALS_MIN} trials, the plan has {len(blocks)}"
        return "trials", why, f"Run with `trials = {TRIALS_MIN}` or more in the profile"
    return "", "", ""


def rank(
    campaign: Mapping[str, Any], chosen: Headline, cells: Sequence[Cell], looks: Looks
) -> tuple[RankGroup, ...]:
    """Rank the variants of the campaign in groups of the same width."""
    at_headline = {cell.variant: cell for cell in cells if cell.key == chosen.key}
    context = _Context(
        chosen,
        at_headline,
        looks,
        held=_held(chosen, cells),
        memory_ratios=_to_median(
            at_headline, lambda cell: cell.memory.total if cell.memory else None
        ),
        switches_ratios=_to_median(at_headline, lambda cell: cell.switches_per_echo),
    )
    widths: dict[str, list[Mapping[str, Any]]] = {}
    for variant in _variants(campaign, at_headline):
        widths.setdefault(str(variant.get("workers") or 1), []).append(variant)
    return tuple(_group(workers, widths[workers], context) for workers in sorted(widths))


def before_the_first_look(looks: Looks) -> str:
    """Why a campaign that has no look yet ranks nothing."""
    verb = "is" if looks.completed == 1 else "are"
    return (
        f"{looks.completed} of {looks.planned} blocks {verb} measured, "
        f"the first look comes after {looks.first}"
    )


def contrasts(
    campaign: Mapping[str, Any],
    chosen: Headline,
    groups: Sequence[RankGroup],
    cells: Sequence[Cell],
    look: Look | None,
) -> tuple[Contrast, ...]:
    """Compare the best of each group with its others at every cell with traffic.

    The family of a cell is that of the headline's: all pairs of the group's servers that can be
    ranked. An experimental one is compared at the same confidence, and is outside the family.
    """
    if look is None:
        return ()
    bars = barred(campaign)
    found: list[Contrast] = []
    keys = sorted({cell.key for cell in cells if cell.efficiency}, key=lambda key: key.order)
    for group in groups:
        best = next((row.variant for row in group.rows if row.is_best), None)
        names = {
            row.variant for row in group.rows if bars.get(row.variant) != FailureCode.NONCONFORMING
        }
        for key in keys if best else ():
            at_key = [cell for cell in cells if cell.key == key and cell.variant in names]
            family = [cell for cell in at_key if cell.variant not in bars and _is_usable(cell)]
            confidence = look.confidence(len(_values(family, look)))
            values = _values(at_key, look)
            found += _against(best, key, values, confidence) if best in values else ()
    return tuple(found)


def _against(best: str, key: CellKey, values: Values, confidence: float) -> Iterator[Contrast]:
    for name, own in values.items():
        if name != best and (one := compare(values[best], own, confidence)):
            yield Contrast(name, best, key, one)


def _values(cells: Iterable[Cell], look: Look) -> dict[str, Series]:
    """The headline's figure by block, of those that have one in a block of the look."""
    found = {cell.variant: look.until(cell.efficiency.series) for cell in cells if cell.efficiency}
    return {name: series for name, series in found.items() if series.values}


def _is_usable(cell: Cell) -> bool:
    return cell.status not in (CellStatus.CAPPED, CellStatus.VOID, CellStatus.MISSING)


def _held(chosen: Headline, cells: Sequence[Cell]) -> dict[str, int]:
    """The connections that each variant held at the headline's N: lowest of all its cells there."""
    held: dict[str, int] = {}
    for cell in cells:
        if chosen.key and cell.key.connections == chosen.key.connections and cell.held is not None:
            held[cell.variant] = min(cell.held, held.get(cell.variant, cell.held))
    return held


def _to_median(
    cells: Mapping[str, Cell], value_of: Callable[[Cell], float | None]
) -> dict[str, float]:
    """A figure of each cell that has it, over the median of all of them."""
    values = {name: value_of(cell) for name, cell in cells.items()}
    known = {name: value for name, value in values.items() if value is not None}
    if not known or (middle := statistics.median(known.values())) <= 0:
        return {}
    return {name: value / middle for name, value in known.items()}


def _variants(
    campaign: Mapping[str, Any], at_headline: Mapping[str, Cell]
) -> list[Mapping[str, Any]]:
    """The campaign's variants, and those that only the records know."""
    entries = campaign.get("variants") or ()
    declared = [entry for entry in entries if entry.get("name") and not entry.get("same_as")]
    names = {variant["name"] for variant in declared}
    return [*declared, *({"name": name} for name in sorted(set(at_headline) - names))]


def _group(workers: str, variants: Sequence[Mapping[str, Any]], context: _Context) -> RankGroup:
    chosen, at_headline, look = context.chosen, context.at_headline, context.looks.last
    notes = {
        str(variant["name"]): _note(variant, chosen, at_headline.get(str(variant["name"])))
        for variant in variants
    }
    rankable = [at_headline[name] for name, note in notes.items() if not note]
    best, against, pairs = _compared(rankable, look) if chosen.is_ranked else (None, {}, ())
    placed: dict[str, Place] = {}
    if best is not None and look is not None:
        order = [best, *sorted(against, key=lambda name: (against[name].ratio, name))]
        placed = places(order, pairs, look)
    unranked = [
        context.row(name, note=note or _thin(best, at_headline[name], context.looks))
        for name, note in notes.items()
        if name not in placed
    ]
    ranked = [context.row(name, against.get(name), place=placed[name]) for name in placed]
    return RankGroup(workers, (*ranked, *sorted(unranked, key=_unranked_order)), pairs)


def _compared(
    cells: Sequence[Cell], look: Look | None
) -> tuple[str | None, dict[str, Comparison], tuple[Pair, ...]]:
    """The best of those that share three blocks with another, it over the others, and all pairs."""
    if look is None:
        return None, {}, ()
    values = _values(cells, look)
    ordered = sorted(values, key=lambda name: (-_level(values[name]), name))
    compared = compare_all({name: values[name] for name in ordered}, look)
    pairs = tuple(Pair(one, other, found) for (one, other), found in compared.items())
    for best in ordered:
        if against := {
            pair.other: pair.comparison for pair in pairs if pair.one == best and pair.comparison
        }:
            return best, against, pairs
    return None, {}, pairs


def _at_look(cell: Cell, look: Look | None) -> Estimate | None:
    """Return the figure of a row, of the values that its comparisons are made of."""
    if cell.efficiency is None or look is None:
        return cell.efficiency
    series = look.until(cell.efficiency.series)
    return estimate(Series.of_blocks(series.levelled or series.by_block)) or cell.efficiency


def _level(series: Series) -> float:
    """What servers are put in order by; in waves as they are compared, through the anchor."""
    return statistics.geometric_mean((series.levelled or series.by_block).values())


def _note(variant: Mapping[str, Any], chosen: Headline, cell: Cell | None) -> str:
    """Why the variant cannot be ranked; empty when it can."""
    if cell is None:
        return "not measured"
    if cell.status in (CellStatus.CAPPED, CellStatus.UNPROVEN, CellStatus.VOID, CellStatus.MISSING):
        reason = cell.reasons[0].text if cell.reasons else ""
        words = "not measured" if cell.status == CellStatus.MISSING else cell.status
        return f"{words}: {reason}" if reason else words
    if variant.get("status") == "experimental":
        return "experimental: never ranked"
    if is_nonconforming(variant):
        return NONCONFORMING
    return chosen.why_not


def _thin(best: str | None, cell: Cell, looks: Looks) -> str:
    if looks.last is None:
        return before_the_first_look(looks)
    usable = len(looks.last.until(cell.efficiency.series).by_block) if cell.efficiency else 0
    if usable < TRIALS_MIN:
        trials = "trial" if usable == 1 else "trials"
        return f"{usable} usable {trials}, ranking needs {TRIALS_MIN}"
    if best is None:
        return "nothing to compare it with"
    return f"fewer than {TRIALS_MIN} blocks in common with {best}"


def _unranked_order(row: Row) -> tuple[bool, float, str]:
    """Those with a figure first, the highest on top."""
    found = row.cell.efficiency if row.cell else None
    return (found is None, -found.mean if found else 0.0, row.variant)
