"""Hold one quantity of one server by block and wave, and compute its ratio to another's. Pure.

Rule 1: two servers are paired inside a block. If a wave has both, they are compared in it.
Rule 2: two servers of different waves are compared through the anchor, which is in every wave. Each
is divided by the anchor in its own wave, so the drift between the waves cancels out. The anchor's
own noise enters twice, and increases the spread of these ratios from block to block.
Rule 3: if the anchor has no value in one of the two waves, the block has no such ratio.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

# Block and wave; wave 0 stands for a block without waves.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one server. A value of zero or below has no logarithm, and is left out.

    Attributes:
        values: {(block, wave): value}. Only the anchor has more than one in a block.
        anchor: those of the anchor; empty if the campaign has no waves.
    """

    values: Mapping[Place, float] = field(hash=False)
    anchor: Mapping[Place, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("values", "anchor"):
            positive = {place: value for place, value in getattr(self, name).items() if value > 0}
            object.__setattr__(self, name, positive)

    @classmethod
    def of_blocks(cls, values: Mapping[int, float]) -> Series:
        """Make the series of a campaign without waves."""
        return cls({(block, 0): value for block, value in values.items()})

    @property
    def by_block(self) -> dict[int, float]:
        """The value of each block, in their order; of several waves the geometric mean."""
        return _by_block(self.values)

    @property
    def levelled(self) -> dict[int, float]:
        """The value of each block, as if all its waves had run at the speed of their mean.

        It puts servers of different waves in order. Blocks without a value of the anchor are left
        out.
        """
        means = _by_block(self.anchor)
        values = {
            (block, wave): value * means[block] / self.anchor[block, wave] if wave else value
            for (block, wave), value in self.values.items()
            if not wave or (block, wave) in self.anchor
        }
        return _by_block(values)

    def until(self, last: int) -> Series:
        """Return the values of the blocks up to `last`."""
        return self.within({block for block, _ in self.values if block <= last})

    def within(self, blocks: Collection[int]) -> Series:
        """Return the values of some blocks."""
        return Series(_within(self.values, blocks), _within(self.anchor, blocks))

    def log_ratios(self, other: Series) -> dict[int, float]:
        """Return {block: logarithm of the ratio of this to the other}, in the order of blocks."""
        mine, others = _by_wave(self.values), _by_wave(other.values)
        anchor = _by_wave(self.anchor)
        found: dict[int, float] = {}
        for block in sorted(mine.keys() & others.keys()):
            one, two = mine[block], others[block]
            if one.keys() & two.keys():
                found[block] = _mean_log_ratio(one, two)
                continue
            level = anchor.get(block, {})
            if one.keys() & level.keys() and two.keys() & level.keys():
                found[block] = _mean_log_ratio(one, level) - _mean_log_ratio(two, level)
        return found


def _by_wave(values: Mapping[Place, float]) -> dict[int, dict[int, float]]:
    """Return {block: {wave: value}}."""
    grouped: dict[int, dict[int, float]] = {}
    for (block, wave), value in values.items():
        grouped.setdefault(block, {})[wave] = value
    return grouped


def _mean_log_ratio(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Average over the waves that have both."""
    shared = sorted(one.keys() & other.keys())
    return statistics.fmean(math.log(one[wave] / other[wave]) for wave in shared)


def _by_block(values: Mapping[Place, float]) -> dict[int, float]:
    return {
        block: _geometric_mean(list(waves.values()))
        for block, waves in sorted(_by_wave(values).items())
    }


def _geometric_mean(values: list[float]) -> float:
    """Average; a single value is returned unchanged, to the last digit."""
    return values[0] if len(values) == 1 else statistics.geometric_mean(values)


def _within(values: Mapping[Place, float], blocks: Collection[int]) -> dict[Place, float]:
    return {place: value for place, value in values.items() if place[0] in blocks}
