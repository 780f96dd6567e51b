"""Compute by how much each server changed from one campaign to another. Pure.

The trials of two campaigns share no block, so they cannot be paired. The ratio of the geometric
means gets Welch's interval, whose degrees of freedom allow for unequal spread (Welch 1947,
Satterthwaite 1946). The three outcomes are those of a ranking. There is one look, at all trials.
The compared servers share its error evenly (Bonferroni), as the pairs of a ranking do.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.intervals import CONFIDENCE, TRIALS_MIN, Comparison, Interval, outcome_of
from harness.analysis.results import Analysis, CellKey
from harness.contract.stored_campaign import StoredHead, StoredProfile, StoredVariant
from harness.gates import student_t
from harness.plan.profiles.profile import ScenarioUse

# What a scenario means in a campaign from before one of its keys.
SCENARIO_DEFAULTS = {
    name: list(field.default) if isinstance(field.default, tuple) else field.default
    for name, field in ScenarioUse.model_fields.items()
    if not field.is_required()
}
# Facts of the host that must be the same. `environment` has any other facts, too.
HOST_KEYS = ("machine", "cpu_model", "cpus_server", "cpus_load", "backend")

Named = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """One server in one cell, before and after.

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
        """Relative change: −0.03 is 3 % less than before; None without a comparison."""
        return self.comparison.ratio - 1 if self.comparison else None


@dataclass(frozen=True, slots=True)
class Unlike:
    """A value of the plan or the host that differs between two campaigns."""

    name: str
    before: object
    after: object


def unlike(before: StoredHead, after: StoredHead) -> tuple[Unlike, ...]:
    """Return what forbids a comparison: another plan, or another class of host.

    Changed code, images or kernels forbid nothing: comparisons exist to show their effect.
    """
    found = _differing("", _run(before), _run(after))
    found += _differing("profile.", _plan(before.profile), _plan(after.profile))
    found += _differing("environment.", _host(before.environment), _host(after.environment))
    return tuple(found)


def _run(head: StoredHead) -> Named:
    return {"workers": head.workers, "isolated": head.isolated}


def _plan(profile: StoredProfile) -> Named:
    """Return what a profile measures, with every key that scenarios have today."""
    return {
        "trials": profile.trials,
        "server_cpus": profile.server_cpus,
        "side_by_side": profile.side_by_side,
        "timing": profile.timing,
        "traffic": profile.traffic,
        "scenarios": [{**SCENARIO_DEFAULTS, **one} for one in profile.scenarios],
    }


def _host(environment: Named) -> Named:
    return {key: environment.get(key) for key in HOST_KEYS}


def environment_difference(before: StoredHead, after: StoredHead) -> tuple[Unlike, ...]:
    """Return facts of the environments and sources that differ, for the table above the figures."""
    one, other = before.environment, after.environment
    found = _differing("", _all(one, sorted({*one, *other})), other)
    for read, words in (
        (_sources, "sources of "),
        (_image, "image of "),
        (_build, "build of "),
    ):
        first, second = (_of_variants(head, read) for head in (before, after))
        found += _differing(words, _all(first, sorted({*first} & {*second})), second)
    return tuple(found)


def _of_variants(head: StoredHead, read: Callable[[StoredVariant], str]) -> Named:
    return {variant.name: read(variant) for variant in head.variants}


def _sources(variant: StoredVariant) -> str:
    return _short(variant.digest)


def _image(variant: StoredVariant) -> str:
    return _short(variant.image)


def _build(variant: StoredVariant) -> str:
    return variant.build


def _short(digest: str) -> str:
    """Return as much of a digest as a person needs to distinguish it from another."""
    return digest.removeprefix("sha256:")[:12]


def _all(values: Named, keys: Iterable[str]) -> Named:
    return {key: values.get(key) for key in keys}


def _differing(prefix: str, before: Named, after: Named) -> list[Unlike]:
    """Return the keys of `before` whose values differ."""
    return [
        Unlike(f"{prefix}{key}", value, after.get(key))
        for key, value in before.items()
        if value != after.get(key)
    ]


def changes(before: Analysis, after: Analysis, key: CellKey | None) -> tuple[Change, ...]:
    """Compare every server of either campaign in the cell `key`, as one family."""
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
    """Return the ratio second / first of each pair of samples.

    Values are positive, three or more on each side.
    """
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
    """Return the ratio of geometric means second / first, and its interval."""
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
