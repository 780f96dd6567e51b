"""Intervals, paired ratios and the three outcomes of a comparison. Pure arithmetic.

Rule 1: the trial is the unit of repetition. n is a number of fresh server processes, never a
number of requests.
Rule 2: rates and times are compared as ratios, so means and intervals live on the log scale: the
mean is the geometric one, and an interval is multiplicative.
Rule 3: fewer than three trials give no interval and no comparison.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness import student

# With two, a t interval is 12.7 standard errors either way, and next to nothing can be told.
TRIALS_MIN = 3
CONFIDENCE = 0.95
# The smallest effect of interest, for `different` and `equivalent` alike.
EFFECT_MIN = 0.05

Outcome = Literal["different", "equivalent", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, in the unit of what it belongs to."""

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two share a point."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """One quantity over the trials of a cell.

    Attributes:
        median: over the trials.
        interval: 95 % t interval of the geometric mean; None with fewer than three trials.
        blocks: `(block, value)` of each trial, by block.
    """

    median: float
    interval: Interval | None
    blocks: tuple[tuple[int, float], ...]

    @property
    def by_block(self) -> dict[int, float]:
        """The values, for pairing."""
        return dict(self.blocks)

    @property
    def geometric_mean(self) -> float:
        """What ratios are made of."""
        return math.exp(statistics.fmean(math.log(value) for _, value in self.blocks))

    @property
    def half_width(self) -> float | None:
        """The interval's half width as a share: 0.02 for ± 2 %."""
        if self.interval is None:
            return None
        return math.sqrt(self.interval.high / self.interval.low) - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best against one other, over the blocks that have both.

    Attributes:
        ratio: geometric mean of best / other: how many times slower the other is.
        interval: of the ratio, at `confidence`.
        confidence: 1 − α of this comparison's step in Holm's procedure.
        p: of the paired t test that the ratio is 1, uncorrected.
        outcome: the verdict.
        blocks: how many pairs.
    """

    ratio: float
    interval: Interval
    confidence: float
    p: float
    outcome: Outcome
    blocks: int


def estimate(blocks: Mapping[int, float]) -> Estimate | None:
    """Summarise the values of a cell's trials; None without a positive value.

    A value of zero or below has no logarithm: it is not a rate or a time, and is left out.
    """
    positive = tuple((block, value) for block, value in sorted(blocks.items()) if value > 0)
    if not positive:
        return None
    values = [value for _, value in positive]
    return Estimate(statistics.median(values), log_interval(values), positive)


def log_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The t interval of the geometric mean; None with fewer than three values."""
    if len(values) < TRIALS_MIN:
        return None
    logs = [math.log(value) for value in values]
    middle = statistics.fmean(logs)
    half = _standard_error(logs) * student.critical(confidence, len(logs) - 1)
    return Interval(math.exp(middle - half), math.exp(middle + half))


def compare(
    best: Mapping[int, float], others: Mapping[str, Mapping[int, float]]
) -> dict[str, Comparison]:
    """Compare `best` with each other by the paired log-ratio over blocks, Holm-corrected.

    Those with fewer than three blocks in common with the best are left out.
    """
    return compare_pairs({name: (best, other) for name, other in others.items()})


def compare_pairs(
    pairs: Mapping[str, tuple[Mapping[int, float], Mapping[int, float]]],
) -> dict[str, Comparison]:
    """Compare the two of each pair as one family of hypotheses, first over second."""
    logs = {
        name: [math.log(one[block] / other[block]) for block in sorted(one) if block in other]
        for name, (one, other) in pairs.items()
    }
    logs = {name: values for name, values in logs.items() if len(values) >= TRIALS_MIN}
    p_values = {name: _p_value(values) for name, values in logs.items()}
    compared = {}
    for name, alpha, rejected in holm(p_values):
        compared[name] = _comparison(logs[name], alpha, p_values[name], rejected)
    return {name: compared[name] for name in pairs if name in compared}


def holm(
    p_values: Mapping[str, float], alpha: float = 1 - CONFIDENCE
) -> list[tuple[str, float, bool]]:
    """Holm's step-down procedure: `(name, its level, rejected)`, smallest p first.

    The i-th smallest of m is tested at α / (m − i + 1); the first that is not rejected ends it.
    """
    ordered = sorted(p_values, key=lambda name: (p_values[name], name))
    steps = []
    rejecting = True
    for position, name in enumerate(ordered):
        level = alpha / (len(ordered) - position)
        rejecting = rejecting and p_values[name] < level
        steps.append((name, level, rejecting))
    return steps


def _comparison(logs: list[float], alpha: float, p: float, rejected: bool) -> Comparison:
    middle = statistics.fmean(logs)
    half = _standard_error(logs) * student.critical(1 - alpha, len(logs) - 1)
    ratio = math.exp(middle)
    interval = Interval(math.exp(middle - half), math.exp(middle + half))
    outcome = outcome_of(ratio, interval, rejected)
    return Comparison(ratio, interval, 1 - alpha, p, outcome, len(logs))


def outcome_of(ratio: float, interval: Interval, rejected: bool) -> Outcome:
    """The verdict on a ratio, its interval, and whether Holm's procedure rejects that it is 1."""
    if interval.low >= 1 - EFFECT_MIN and interval.high <= 1 + EFFECT_MIN:
        return "equivalent"
    effect = max(ratio, 1 / ratio) - 1
    return "different" if rejected and effect >= EFFECT_MIN else "inconclusive"


def _p_value(logs: list[float]) -> float:
    """Two-sided paired t test of a mean log-ratio of 0."""
    error = _standard_error(logs)
    middle = statistics.fmean(logs)
    if error == 0:
        return 1.0 if middle == 0 else 0.0
    return student.p_value(middle / error, len(logs) - 1)


def _standard_error(logs: list[float]) -> float:
    return statistics.stdev(logs) / math.sqrt(len(logs))
