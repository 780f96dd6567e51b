"""Compare two campaigns: the verdict, what else differs, and one row for each server.

Rule 1: pure, and from the same models as the two reports.
Rule 2: a change that the intervals do not settle is inconclusive. A server that was not measured on
both sides has the reason. Neither is called unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis import two_campaigns, wording
from harness.analysis.findings import Finding, Name, Part
from harness.analysis.intervals import EFFECT_MIN, TRIALS_MIN, Comparison
from harness.analysis.results import Analysis, Cell, CellKey
from harness.analysis.two_campaigns import Change, Unlike
from harness.report.model import Model
from harness.report.sections import anchors, tables
from harness.report.sections.background import flat
from harness.report.sections.validation import Banner

HEADER = ("server", "before", "after", "change", "interval", "outcome")
LEFT = ("server", "outcome")
UNCHANGED = f"unchanged (within ± {EFFECT_MIN:.0%})".replace("%", " %")
NOTE = (
    "Trials of two campaigns are not interleaved: if the host's speed drifted between them, every "
    "change includes that drift. Intervals are corrected for the number of servers (Bonferroni)."
)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two campaigns. `report` is its page, relative to the comparison's."""

    campaign: str
    created: str
    validity: str
    level: str
    report: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that differs between the two sides, as text."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Row:
    """One server: its figures on both sides and their change, as text.

    `tone` is ok, warn or bad, or neutral if nothing is compared.
    """

    variant: str
    before: str
    before_interval: str
    after: str
    after_interval: str
    change: str
    interval: str
    outcome: str
    tone: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another cell that both campaigns measured: its name and its rows."""

    what: str
    rows: tuple[Row, ...]

    @property
    def told(self) -> str:
        """`1 slower, 4 unchanged`."""
        counted = Counter(row.outcome.partition(":")[0] for row in self.rows)
        return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counted.items()))


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison.

    Attributes:
        unlike: differences of plan and host; not empty only if the comparison was forced.
        environment: the other facts that differ, code and images included.
        elsewhere: the other cells with traffic that both have; the verdict does not use them.
        lost: servers with a figure before and, although planned, none after.
    """

    before: Side
    after: Side
    verdict: Finding
    banners: tuple[Banner, ...]
    unlike: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    caption: str
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]
    elsewhere: tuple[Elsewhere, ...]
    lost: tuple[str, ...]

    @property
    def tone(self) -> str:
        """The tone of the verdict: bad, warn or ok, or neutral if nothing is compared."""
        if self.regressed(0):
            return "bad"
        outcomes = {one.comparison.outcome for one in self.changes if one.comparison}
        if not outcomes:
            return "neutral"
        return "warn" if outcomes == {"inconclusive"} else "ok"

    def regressed(self, percent: float) -> tuple[str, ...]:
        """Return the servers that are slower by at least `percent`, and the lost ones."""
        slower = [
            one.variant
            for one in self.changes
            if one.comparison
            and one.comparison.outcome == "different"
            and one.comparison.ratio <= 1 - percent / 100
        ]
        return (*slower, *self.lost)


def differences(found: tuple[Unlike, ...]) -> tuple[Difference, ...]:
    """Return the differing leaves of nested facts."""
    lines = []
    for one in found:
        # A side that lacks the fact gets no leaf of its own; the other side's leaves suffice.
        first, second = (
            {} if side is None else dict(flat(side, one.name)) for side in (one.before, one.after)
        )
        lines += [
            Difference(name, first.get(name, "n/a"), second.get(name, "n/a"))
            for name in {**first, **second}
            if first.get(name) != second.get(name)
        ]
    return tuple(lines)


def build(
    before: tuple[Mapping[str, Any], Model], after: tuple[Mapping[str, Any], Model]
) -> Compared:
    """Compare two campaigns, each with its `campaign.json` and the model of its report."""
    one, other = before[1].analysis, after[1].analysis
    key = _key(one, other)
    changes = two_campaigns.changes(one, other, key)
    unlike = differences(two_campaigns.unlike(before[0], after[0]))
    planned = {str(variant.get("name")) for variant in after[0].get("variants") or ()}
    return Compared(
        before=_side(before[1]),
        after=_side(after[1]),
        verdict=_verdict(changes, one, other),
        banners=_banners(unlike),
        unlike=unlike,
        environment=tuple(
            one
            for one in differences(two_campaigns.environment_difference(before[0], after[0]))
            if f"environment.{one.name}" not in {known.name for known in unlike}
        ),
        caption=_caption(key),
        rows=tuple(_row(change, one, other) for change in changes),
        changes=changes,
        elsewhere=tuple(_elsewhere(one, other, key)),
        lost=tuple(
            change.variant
            for change in changes
            if change.before is not None and change.after is None and change.variant in planned
        ),
    )


def _key(before: Analysis, after: Analysis) -> CellKey | None:
    """Return the headline's cell, or the largest of its scenario that both campaigns have."""
    if before.headline.key == after.headline.key:
        return after.headline.key
    common = {cell.key for cell in before.cells if cell.efficiency}
    common &= {cell.key for cell in after.cells if cell.efficiency}
    return max(common, key=lambda key: (key.scenario == "idle", key.order), default=None)


def _elsewhere(before: Analysis, after: Analysis, key: CellKey | None) -> Iterator[Elsewhere]:
    common = {cell.key for cell in before.cells if cell.efficiency}
    common &= {cell.key for cell in after.cells if cell.efficiency}
    for one in sorted(common - {key}, key=lambda key: key.order):
        rows = (_row(change, before, after) for change in two_campaigns.changes(before, after, one))
        yield Elsewhere(tables.what(one), tuple(row for row in rows if row.change != tables.NONE))


def _side(model: Model) -> Side:
    validity = model.validity
    return Side(
        model.campaign,
        model.created,
        validity.text,
        validity.level,
        f"../{model.campaign}/report.html",
    )


def _banners(unlike: tuple[Difference, ...]) -> tuple[Banner, ...]:
    if not unlike:
        return ()
    names = ", ".join(one.name for one in unlike)
    return (
        Banner(
            "bad",
            f"Forced: plan or host differ ({names}), so the server may not have caused a change.",
        ),
    )


def _caption(key: CellKey | None) -> str:
    if key is None:
        return "The two campaigns have no cell in common."
    return (
        f"Echoes per second of server CPU, {key.scenario}: {key.connections:,} open connections, "
        f"{key.active:,} active."
    )


def _verdict(changes: tuple[Change, ...], before: Analysis, after: Analysis) -> Finding:
    """Say in one sentence which servers changed, which are inconclusive, and the others."""
    if not any(one.comparison for one in changes):
        return Finding("shape", (f"Nothing is compared: {_nothing(changes, before, after)}.",))
    outcomes: dict[str, list[Change]] = {}
    for one in changes:
        outcomes.setdefault(one.comparison.outcome if one.comparison else "", []).append(one)
    groups: list[list[Part]] = [[*_changed(one)] for one in outcomes.get("different", ())]
    groups += [[*_changed(one), " inconclusive"] for one in outcomes.get("inconclusive", ())]
    thin = outcomes.get("", [])
    if thin:
        groups.append([*_names(thin), " not compared"])
    same = outcomes.get("equivalent", [])
    if same:
        who: Part = Name(same[0].variant) if len(same) == 1 else "others" if groups else "all"
        groups.append([who, f" {UNCHANGED}"])
    parts = [part for group in groups for part in (", ", *group)][1:]
    return Finding("shape", (*parts, "."))


def _nothing(changes: tuple[Change, ...], before: Analysis, after: Analysis) -> str:
    """Return why nothing is compared, and what to do about it."""
    names = [{cell.variant for cell in side.cells} for side in (before, after)]
    if not all(names):
        empty = " and ".join(
            name for name, found in zip(("before", "after"), names, strict=True) if not found
        )
        return f"no cell was measured in the campaign {empty}. Compare campaigns that have figures"
    if not names[0] & names[1]:
        return "the campaigns have no server in common. Compare two that share servers"
    if not changes:
        return "the campaigns have no cell in common. Compare two of the same profile"
    return (
        f"no server has {TRIALS_MIN} usable trials in both campaigns. Run a profile with "
        f"{TRIALS_MIN} trials or more, and compare again"
    )


def _names(changes: list[Change]) -> list[Part]:
    parts: list[Part] = []
    for one in changes:
        parts += [" and ", Name(one.variant)]
    return parts[1:]


def _changed(one: Change) -> tuple[Part, ...]:
    assert one.comparison is not None  # noqa: S101 (grouped by its outcome)
    found = one.comparison
    return (
        Name(one.variant),
        " ",
        wording.change(found.ratio - 1),
        " (",
        wording.confidence(found.confidence),
        " CI ",
        wording.change(found.interval.low - 1, ""),
        "…",
        wording.change(found.interval.high - 1, ""),
        ")",
    )


def _row(change: Change, before: Analysis, after: Analysis) -> Row:
    one, other = (side.cell(change.variant, change.key) for side in (before, after))
    found = change.comparison
    outcome, tone = _outcome(found, one, other)
    if found is None and change.before is not None and change.after is None:
        tone = "bad"  # a figure was lost
    return Row(
        variant=change.variant,
        before=_rate(change.before),
        before_interval=tables.half_width(one.efficiency if one else None),
        after=_rate(change.after),
        after_interval=tables.half_width(other.efficiency if other else None),
        change=wording.change(found.ratio - 1).text if found else tables.NONE,
        interval=_interval(found) if found else tables.NONE,
        outcome=outcome,
        tone=tone,
    )


def _rate(value: float | None) -> str:
    return tables.NONE if value is None else wording.rate(value).text


def _interval(found: Comparison) -> str:
    low, high = (wording.change(end - 1, "").text for end in _ends(found))
    return f"{low} … {high} % ({wording.confidence(found.confidence)})"


def _ends(found: Comparison) -> tuple[float, float]:
    return found.interval.low, found.interval.high


def _outcome(found: Comparison | None, before: Cell | None, after: Cell | None) -> tuple[str, str]:
    if found is None:
        return f"not compared: {_reasons(_why(before), _why(after))}", "neutral"
    if found.outcome == "different":
        return ("slower", "bad") if found.ratio < 1 else ("faster", "ok")
    return ("unchanged", "ok") if found.outcome == "equivalent" else ("inconclusive", "warn")


def _reasons(before: str, after: str) -> str:
    if before == after:
        return before
    told = (f"{name} {why}" for name, why in (("before", before), ("after", after)) if why)
    return "; ".join(told)


def _why(cell: Cell | None) -> str:
    """Return why a side has fewer than TRIALS_MIN figures; empty if it has them."""
    usable = len(cell.efficiency.blocks) if cell and cell.efficiency else 0
    if usable >= TRIALS_MIN:
        return ""
    if cell is None:
        return "not measured"
    if usable:
        return f"{usable} of {TRIALS_MIN} usable trials"
    because = f" ({cell.reasons[0].text})" if cell.reasons else ""
    return anchors.status_word(cell.status) + because
