"""Do two ways to measure the same thing agree? One rule for all comparisons.

Two one-sided t tests at 5 % each, which is the 90 % interval of the ratio inside the bound
(Schuirmann, *J. Pharmacokinetics and Biopharmaceutics* 15, 1987). A ratio that is near 1 by the
luck of a few noisy rounds is "not settled", and more rounds would settle it.
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
    """The ratio of two ways over the rounds, and what it says of a bound: ± `within`, a share."""

    ratio: float
    interval: Interval | None
    within: float

    @property
    def span(self) -> str:
        """The interval, for a table."""
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
        """Whether the two agree, and surely."""
        return self.verdict == "agree"


def of(ratios: Sequence[float], within: float) -> Agreement:
    """What the ratios of some rounds, one of each, say."""
    ratio = math.exp(statistics.fmean(map(math.log, ratios)))
    return Agreement(ratio, log_interval(ratios, CONFIDENCE), within)
