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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.series import Series
from harness.gates import student_t

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

    def contains(self, value: float) -> bool:
        """Whether the value lies in it, its ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """One quantity over the trials of a cell.

    The anchor of waves has several trials in a block: their geometric mean is its value there.

    Attributes:
        mean: geometric mean over the blocks, which the ratios of servers are made of.
        interval: its 95 % t interval; None with fewer than three trials.
        series: the values, for pairing.
    """

    mean: float
    interval: Interval | None
    series: Series

    @property
    def blocks(self) -> tuple[tuple[int, float], ...]:
        """`(block, value)` of each block, in their order."""
        return tuple(self.by_block.items())

    @property
    def by_block(self) -> dict[int, float]:
        """{block: value}."""
        return self.series.by_block

    @property
    def half_width(self) -> float | None:
        """The interval's half width as a share: 0.02 for ± 2 %."""
        if self.interval is None:
            return None
        return math.sqrt(self.interval.high / self.interval.low) - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One server against another, over the blocks that have both.

    Attributes:
        ratio: geometric mean of the first over the second: how many times slower the second is.
        interval: of the ratio, at `confidence`.
        confidence: 1 − α of this comparison, which shares the error of its family.
        outcome: the verdict; "inconclusive" is printed as "not settled".
        blocks: how many pairs.
    """

    ratio: float
    interval: Interval
    confidence: float
    outcome: Outcome
    blocks: int


def estimate(series: Series) -> Estimate | None:
    """Summarise the values of a cell's trials; None without a value."""
    values = list(series.by_block.values())
    if not values:
        return None
    return Estimate(statistics.geometric_mean(values), log_interval(values), series)


def log_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The t interval of the geometric mean; None with fewer than three values."""
    if len(values) < TRIALS_MIN:
        return None
    logs = [math.log(value) for value in values]
    middle = statistics.fmean(logs)
    half = _standard_error(logs) * student_t.critical(confidence, len(logs) - 1)
    return Interval(math.exp(middle - half), math.exp(middle + half))


def compare(one: Series, other: Series, confidence: float = CONFIDENCE) -> Comparison | None:
    """Compare two by the paired log-ratio over blocks, first over second.

    None with fewer than three blocks in common.
    """
    logs = list(one.log_ratios(other).values())
    if len(logs) < TRIALS_MIN:
        return None
    middle = statistics.fmean(logs)
    half = _standard_error(logs) * student_t.critical(confidence, len(logs) - 1)
    interval = Interval(math.exp(middle - half), math.exp(middle + half))
    ratio = math.exp(middle)
    return Comparison(ratio, interval, confidence, outcome_of(ratio, interval), len(logs))


def outcome_of(ratio: float, interval: Interval) -> Outcome:
    """The verdict on a ratio and its interval."""
    if interval.low >= 1 - EFFECT_MIN and interval.high <= 1 + EFFECT_MIN:
        return "equivalent"
    excludes_one = interval.low > 1 or interval.high < 1
    effect = max(ratio, 1 / ratio) - 1
    return "different" if excludes_one and effect >= EFFECT_MIN else "inconclusive"


def _standard_error(logs: list[float]) -> float:
    return statistics.stdev(logs) / math.sqrt(len(logs))
