"""Decide when a growing campaign makes verdicts, and at which confidence. Pure.

Rule 1: a campaign has looks at fixed numbers of blocks: the first after the planned ones
(`trials` of the profile), then one every `LOOK_STEP` blocks. Verdicts use the blocks of the last
look only, so no verdict changes between two looks.
Rule 2: look j spends α / (j (j + 1)) of the error α. The shares of any number of looks add up to
α at most. A campaign may therefore stop once it is settled: the probability of a false
verdict at any look is at most α. This is alpha spending (Lan & DeMets 1983, Biometrika 70, 659)
with a union bound over the looks, which holds whatever the dependence between them.
Rule 3: at a look all pairs of a family share its α evenly (Bonferroni). The intervals that a report
prints are these repeated confidence intervals (Jennison & Turnbull 1989, J. R. Statist. Soc. B 51,
305): with probability 1 − α all of them, at all looks, contain their true ratios.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.intervals import CONFIDENCE, Comparison, Interval, compare, outcome_of
from harness.analysis.series import Series
from harness.contract.stored_campaign import StoredHead, StoredOutcome
from harness.gates import student_t
from harness.plan.profiles.profile import LOOK_STEP
from harness.plan.trial_plan import CALIBRATION_BLOCK

ALPHA = 1 - CONFIDENCE
# A pair that none of this many later looks would settle lies near the bound of two outcomes.
FORESEEN_LOOKS = 10


@dataclass(frozen=True, slots=True)
class Look:
    """One look: its number, from 1, and the blocks that its verdicts use."""

    number: int
    blocks: int

    @property
    def alpha(self) -> float:
        """The share of the error α that it spends."""
        return ALPHA / (self.number * (self.number + 1))

    @property
    def following(self) -> Look:
        """The next look."""
        return Look(self.number + 1, self.blocks + LOOK_STEP)

    def until(self, series: Series) -> Series:
        """Return the values of its blocks."""
        return series.until(self.blocks)

    def confidence(self, servers: int) -> float:
        """Return the confidence of each interval if all pairs of `servers` are compared."""
        return self.confidence_of(servers * (servers - 1) // 2)

    def confidence_of(self, comparisons: int) -> float:
        """Return the confidence of each interval in a family of `comparisons`."""
        return 1 - self.alpha / max(1, comparisons)


@dataclass(frozen=True, slots=True)
class Looks:
    """The progress of a campaign.

    Attributes:
        first: blocks at the first look; 0 without a plan.
        planned: blocks of the plan.
        completed: blocks from the first on whose trials all have an outcome.
    """

    first: int = 0
    planned: int = 0
    completed: int = 0

    @property
    def last(self) -> Look | None:
        """The last look that is complete; None before the first."""
        return self.at(self.completed)

    def at(self, blocks: int) -> Look | None:
        """Return the last look of a campaign with that many completed blocks."""
        if self.first < 1 or blocks < self.first:
            return None
        later = (blocks - self.first) // LOOK_STEP
        return Look(1 + later, self.first + later * LOOK_STEP)

    def is_look(self, blocks: int) -> bool:
        """Whether a look comes after that many blocks."""
        return (look := self.at(blocks)) is not None and look.blocks == blocks


def of_campaign(head: StoredHead, outcomes: Sequence[StoredOutcome]) -> Looks:
    """Return the progress of a campaign, by its plan and the trials that ended."""
    blocks: dict[int, set[str]] = defaultdict(set)
    for trial in head.plan:
        blocks[trial.block].add(trial.id)
    blocks.pop(CALIBRATION_BLOCK, None)
    ended = {line.trial for line in outcomes}
    complete = itertools.takewhile(lambda block: blocks[block] <= ended, sorted(blocks))
    planned = max(blocks, default=0)
    return Looks(head.profile.trials or planned, planned, max(complete, default=0))


def compare_all(
    values: Mapping[str, Series], look: Look
) -> dict[tuple[str, str], Comparison | None]:
    """Compare each pair of servers at a look: the first in `values` over the other.

    None: the two share fewer than three blocks. Such a pair also counts in the family.
    """
    confidence = look.confidence(len(values))
    cut = {name: look.until(own) for name, own in values.items()}
    return {
        (one, other): compare(cut[one], cut[other], confidence)
        for one, other in itertools.combinations(values, 2)
    }


def blocks_to_settle(found: Comparison, look: Look) -> int | None:
    """Return how many blocks after those of `look` would settle a pair at its present spread.

    None if none of the next `FORESEEN_LOOKS` looks would settle it. Its ratio is then so close to
    1 ± 5 % that more blocks are unlikely to show on which side it lies.
    """
    middle = math.log(found.ratio)
    half = math.log(found.interval.high / found.interval.low) / 2
    error = half / student_t.critical(found.confidence, found.blocks - 1)
    sd = error * math.sqrt(found.blocks)
    pairs = look.alpha / (1 - found.confidence)
    later = look
    for _ in range(FORESEEN_LOOKS):
        later = later.following
        more = later.blocks - look.blocks
        blocks = found.blocks + more
        critical = student_t.critical(1 - later.alpha / pairs, blocks - 1)
        half = sd / math.sqrt(blocks) * critical
        interval = Interval(math.exp(middle - half), math.exp(middle + half))
        if outcome_of(found.ratio, interval) != "inconclusive":
            return more
    return None
