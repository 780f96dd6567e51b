"""Who is best at the headline, and who cannot be told from it.

Rule 1: one cell ranks: `idle`, 10,000 open connections, 100 of them active.
Rule 2: every variant is compared with the best only, by the paired log-ratio over blocks.
Rule 3: what is not comparable is not ranked: other widths, experiments, void cells, ceilings.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import selftest
from harness.analysis.frame import planned_cells, profile_name
from harness.analysis.intervals import TRIALS_MIN, Comparison, Estimate, compare
from harness.analysis.results import Cell, Contrast, Headline, RankGroup, Row
from harness.plan import CALIBRATION_BLOCK
from harness.record import is_nonconforming

# The headline: many connections, of which few are active, as the C10K problem has it.
HEADLINE_SCENARIO = "idle"
HEADLINE_CONNECTIONS = 10_000
HEADLINE_ACTIVE = 100
HEADLINE = f"{HEADLINE_CONNECTIONS:,} connections, {HEADLINE_ACTIVE} of them active"
PLAN_IT = "Add one to the profile, or use `c10k run --profile quick`"
PROVE_IT = "End other programs on this host, check it with `c10k selftest`, then run again"
UNRANKED = "—"
NONCONFORMING = "does not conform: never ranked"


@dataclass(frozen=True, slots=True)
class _Context:
    """What the rows of all groups are made from."""

    chosen: Headline
    at_headline: Mapping[str, Cell]
    held: Mapping[str, int]
    memory_ratios: Mapping[str, float]
    switches_ratios: Mapping[str, float]

    def row(self, name: str, comparison: Comparison | None, note: str = "") -> Row:
        return Row(
            variant=name,
            rank=UNRANKED,
            is_best=not note and comparison is None,
            comparison=comparison,
            cell=self.at_headline.get(name),
            held=self.held.get(name),
            memory_ratio=self.memory_ratios.get(name),
            switches_ratio=self.switches_ratios.get(name),
            note=note,
        )


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
    if because := selftest.why_not(campaign.get("selftest")):
        return "selftest", because, PROVE_IT
    if not is_exact:
        return "headline", f"the plan has no idle cell with {HEADLINE}", PLAN_IT
    blocks = {trial.get("block") for trial in campaign.get("plan") or ()} - {CALIBRATION_BLOCK}
    if blocks and len(blocks) < TRIALS_MIN:
        why = f"ranking needs {TRIALS_MIN} trials, the plan has {len(blocks)}"
        return "trials", why, f"Run with `trials = {TRIALS_MIN}` or more in the profile"
    return "", "", ""


def rank(
    campaign: Mapping[str, Any], chosen: Headline, cells: Sequence[Cell]
) -> tuple[RankGroup, ...]:
    """Rank the variants of the campaign in groups of the same width."""
    at_headline = {cell.variant: cell for cell in cells if cell.key == chosen.key}
    context = _Context(
        chosen,
        at_headline,
        held=_held(chosen, cells),
        memory_ratios=_to_median(
            at_headline, lambda cell: cell.memory.total if cell.memory else None
        ),
        switches_ratios=_to_median(at_headline, lambda cell: cell.switches_per_echo),
    )
    widths: dict[str, list[Mapping[str, Any]]] = {}
    for variant in _variants(campaign, at_headline):
        widths.setdefault(str(variant.get("workers") or 1), []).append(variant)
    return tuple(
        RankGroup(workers, _rows(variants, context)) for workers, variants in sorted(widths.items())
    )


def efficiencies(cells: Mapping[str, Cell]) -> dict[str, Estimate]:
    """The headline's figure of each cell that has one."""
    return {name: cell.efficiency for name, cell in cells.items() if cell.efficiency is not None}


def best_and_ratios(
    estimates: Mapping[str, Estimate],
) -> tuple[str | None, dict[str, Comparison]]:
    """The best of those that share three blocks with another, and the others against it."""
    found = {name: one for name, one in estimates.items() if len(one.blocks) >= TRIALS_MIN}
    for best in sorted(found, key=lambda name: (found[name].geometric_mean, name), reverse=True):
        others = {name: one.by_block for name, one in found.items() if name != best}
        if compared := compare(found[best].by_block, others):
            return best, compared
    return None, {}


def contrasts(groups: Sequence[RankGroup], cells: Sequence[Cell]) -> tuple[Contrast, ...]:
    """Compare the best of each group with its others at every cell with traffic."""
    found = []
    keys = sorted({cell.key for cell in cells if cell.efficiency}, key=lambda key: key.order)
    for group in groups:
        best = next((row.variant for row in group.rows if row.is_best), None)
        names = {row.variant for row in group.rows if row.note != NONCONFORMING}
        for key in keys if best else ():
            at_key = {cell.variant: cell for cell in cells if cell.key == key}
            estimates = efficiencies({name: at_key[name] for name in at_key if name in names})
            if best not in estimates:
                continue
            others = {name: one.by_block for name, one in estimates.items() if name != best}
            compared = compare(estimates[best].by_block, others)
            found += [Contrast(name, best, key, one) for name, one in compared.items()]
    return tuple(found)


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


def _rows(variants: Sequence[Mapping[str, Any]], context: _Context) -> tuple[Row, ...]:
    chosen, at_headline = context.chosen, context.at_headline
    notes = {
        str(variant["name"]): _note(variant, chosen, at_headline.get(str(variant["name"])))
        for variant in variants
    }
    rankable = {name: at_headline[name] for name, note in notes.items() if not note}
    best, ratios = best_and_ratios(efficiencies(rankable)) if chosen.is_ranked else (None, {})
    ordered = sorted(ratios, key=lambda name: (ratios[name].ratio, name))
    ranked = [context.row(name, ratios.get(name)) for name in ([best] if best else []) + ordered]
    names = {row.variant for row in ranked}
    unranked = [
        context.row(name, None, note or _thin(best, rankable[name]))
        for name, note in notes.items()
        if name not in names
    ]
    return (*_with_ranks(ranked), *sorted(unranked, key=_unranked_order))


def _note(variant: Mapping[str, Any], chosen: Headline, cell: Cell | None) -> str:
    """Why the variant cannot be ranked; empty when it can."""
    if cell is None:
        return "not measured"
    if cell.status in ("capped", "void", "missing"):
        reason = cell.reasons[0].text if cell.reasons else ""
        words = "not measured" if cell.status == "missing" else cell.status
        return f"{words}: {reason}" if reason else words
    if variant.get("status") == "experimental":
        return "experimental: never ranked"
    if is_nonconforming(variant):
        return NONCONFORMING
    return chosen.why_not


def _thin(best: str | None, cell: Cell) -> str:
    usable = len(cell.efficiency.blocks) if cell.efficiency else 0
    if usable < TRIALS_MIN:
        trials = "trial" if usable == 1 else "trials"
        return f"{usable} usable {trials}, ranking needs {TRIALS_MIN}"
    if best is None:
        return "nothing to compare it with"
    return f"fewer than {TRIALS_MIN} blocks in common with {best}"


def _unranked_order(row: Row) -> tuple[bool, float, str]:
    """Those with a figure first, the highest on top."""
    found = row.cell.efficiency if row.cell else None
    return (found is None, -found.median if found else 0.0, row.variant)


def _with_ranks(rows: Sequence[Row]) -> list[Row]:
    """First is the best with all that are not shown to differ from it.

    Below, variants are not compared with each other; where their intervals of the ratio to the
    best overlap they share a rank, so that no order is claimed.
    """
    first = [row for row in rows if row.comparison is None or not _is_different(row)]
    rest = [row for row in rows if row.comparison is not None and _is_different(row)]
    groups = [first] if first else []
    for row in rest:
        if groups[-1] is not first and _overlap(groups[-1][0], row):
            groups[-1].append(row)
        else:
            groups.append([row])
    ranked: list[Row] = []
    for group in groups:
        place = f"{len(ranked) + 1}{'=' if len(group) > 1 else ''}"
        ranked += [replace(row, rank=place) for row in group]
    return ranked


def _is_different(row: Row) -> bool:
    return row.comparison is not None and row.comparison.outcome == "different"


def _overlap(one: Row, other: Row) -> bool:
    return (
        one.comparison is not None
        and other.comparison is not None
        and one.comparison.interval.overlaps(other.comparison.interval)
    )
