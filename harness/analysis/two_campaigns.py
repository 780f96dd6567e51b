"""Two campaigns: by how much did a variant change? Pure arithmetic on their cells.

The trials of two campaigns share no block, so nothing can be paired: the ratio of the geometric
means gets Welch's interval, whose degrees of freedom allow for unequal spread (Welch 1947,
Satterthwaite 1946). The three outcomes are those of a ranking. There is one look, at all
trials, and the compared servers share its error evenly (Bonferroni), as the pairs of a ranking do.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.intervals import CONFIDENCE, TRIALS_MIN, Comparison, Interval, outcome_of
from harness.analysis.results import Analysis, CellKey
from harness.gates import student_t
from harness.plan.profiles.profile import ScenarioUse

# What has to be the same for a difference to mean the server. Changed code, images or kernels
# are what a comparison is for: they are shown, not refused.
PLAN_KEYS = ("trials", "server_cpus", "side_by_side", "timing", "traffic", "scenarios")
# What a campaign means that is older than the key
PLAN_DEFAULTS = {"side_by_side": False}
SCENARIO_DEFAULTS = {
    name: list(field.default) if isinstance(field.default, tuple) else field.default
    for name, field in ScenarioUse.model_fields.items()
    if not field.is_required()
}
RUN_KEYS = ("workers", "isolated")
HOST_KEYS = ("machine", "cpu_model", "cpus_server", "cpus_load", "backend")


@dataclass(frozen=True, slots=True)
class Change:
    """One variant in one cell, before and after.

    Attributes:
        before: median echoes per second of server CPU in the first campaign; None: not measured.
        after: the same in the second.
        comparison: ratio after / before; None with fewer than three trials on either side.
    """

    variant: str
    key: CellKey
    before: float | None
    after: float | None
    comparison: Comparison | None

    @property
    def change(self) -> float | None:
        """Relative change: −0.03 is 3 % less than before; None where it cannot be told."""
        return self.comparison.ratio - 1 if self.comparison else None


@dataclass(frozen=True, slots=True)
class Unlike:
    """Something of plan or host that differs between two campaigns."""

    name: str
    before: Any
    after: Any


def unlike(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Unlike, ...]:
    """What forbids to compare two `campaign.json`: another plan, or another class of host."""
    found = [*_differing("", RUN_KEYS, before, after)]
    found += _differing("profile.", PLAN_KEYS, _plan(before), _plan(after))
    found += _differing(
        "environment.", HOST_KEYS, before.get("environment") or {}, after.get("environment") or {}
    )
    return tuple(found)


def _plan(campaign: Mapping[str, Any]) -> dict[str, Any]:
    """A campaign's profile with every key that profiles have today."""
    profile = campaign.get("profile") or {}
    scenarios = [{**SCENARIO_DEFAULTS, **one} for one in profile.get("scenarios") or ()]
    return {**PLAN_DEFAULTS, **profile, "scenarios": scenarios}


def environment_difference(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Unlike, ...]:
    """Facts of the environments and sources that differ, for the table above the figures."""
    one, other = before.get("environment") or {}, after.get("environment") or {}
    found = [*_differing("", sorted({*one, *other}), one, other)]
    for key, words in (("digest", "sources of "), ("image", "image of "), ("build", "build of ")):
        first, second = _digests(before, key), _digests(after, key)
        found += _differing(words, sorted({*first} & {*second}), first, second)
    return tuple(found)


def _digests(campaign: Mapping[str, Any], key: str) -> dict[str, str]:
    """Name → what a person needs of a digest to tell it from another."""
    return {
        str(variant.get("name")): _told(key, str(variant.get(key) or ""))
        for variant in campaign.get("variants") or ()
    }


def _told(key: str, text: str) -> str:
    return text if key == "build" else text.removeprefix("sha256:")[:12]


def _differing(
    prefix: str, keys: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[Unlike]:
    return [
        Unlike(f"{prefix}{key}", before.get(key), after.get(key))
        for key in keys
        if before.get(key) != after.get(key)
    ]


def changes(before: Analysis, after: Analysis, key: CellKey | None) -> tuple[Change, ...]:
    """Compare every variant of either campaign in the cell `key`, as one family."""
    if key is None:
        return ()
    names = sorted({cell.variant for side in (before, after) for cell in side.cells})
    means: dict[str, tuple[float | None, float | None]] = {}
    values: dict[str, tuple[list[float], list[float]]] = {}
    for name in names:
        estimates = [
            cell.efficiency if (cell := side.cell(name, key)) else None for side in (before, after)
        ]
        first, second = (found.mean if found else None for found in estimates)
        means[name] = (first, second)
        one, other = ([v for _, v in found.blocks] if found else [] for found in estimates)
        if min(len(one), len(other)) >= TRIALS_MIN:
            values[name] = (one, other)
    compared = compare_unpaired(values)
    return tuple(Change(name, key, *means[name], compared.get(name)) for name in names)


def compare_unpaired(
    pairs: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> dict[str, Comparison]:
    """Ratio second / first of each pair of samples: positive values, three or more on each side."""
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(pairs))
    compared = {}
    for name, pair in pairs.items():
        ratio, interval = welch(*pair, confidence)
        count = min(len(side) for side in pair)
        outcome = outcome_of(ratio, interval)
        compared[name] = Comparison(ratio, interval, confidence, outcome, count)
    return compared


def welch(
    first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, Interval]:
    """Ratio of geometric means second / first, and its interval."""
    one = [math.log(value) for value in first]
    other = [math.log(value) for value in second]
    middle = statistics.fmean(other) - statistics.fmean(one)
    share_one = statistics.variance(one) / len(one)
    share_other = statistics.variance(other) / len(other)
    error = math.sqrt(share_one + share_other)
    if error == 0:
        return math.exp(middle), Interval(math.exp(middle), math.exp(middle))
    freedom = error**4 / (share_one**2 / (len(one) - 1) + share_other**2 / (len(other) - 1))
    half = error * student_t.critical(confidence, freedom)
    return math.exp(middle), Interval(math.exp(middle - half), math.exp(middle + half))
