"""Decide whether two ways to measure the same thing agree. All comparisons use this rule.

Two one-sided t tests at 5 % each: the 90 % interval of the ratio must lie inside the bound
(Schuirmann, *J. Pharmacokinetics and Biopharmaceutics* 15, 1987). A ratio that is near 1 by chance
in a few noisy rounds is "not settled"; more rounds would settle it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.intervals import Interval, log_interval

CONFIDENCE = 0.90


@dataclass(frozen=True, slots=True)
class Agreement:
    """The ratio of two ways over the rounds, and its verdict for a bound of ± `within`, a share."""

    ratio: float
    interval: Interval | None
    within: float

    @property
    def span(self) -> str:
        """Format the interval, for a table."""
        if self.interval is None:
            return "3 rounds needed"
        return f"{self.interval.low:.3f}-{self.interval.high:.3f}"

    @property
    def verdict(self) -> str:
        """`agree`, `DIFFER` (the ratio itself is beyond the bound) or `not settled`."""
        low, high = 1 - self.within, 1 + self.within
        if not low <= self.ratio <= high:
            return "DIFFER"
        is_sure = self.interval and low <= self.interval.low and self.interval.high <= high
        return "agree" if is_sure else "not settled"

    @property
    def holds(self) -> bool:
        """Whether the verdict is `agree`."""
        return self.verdict == "agree"


def of(ratios: Sequence[float], within: float) -> Agreement:
    """Compute the agreement from the ratios of some rounds, one ratio each."""
    ratio = math.exp(statistics.fmean(map(math.log, ratios)))
    return Agreement(ratio, log_interval(ratios, CONFIDENCE), within)
