"""Fit a campaign into a time budget: compute how many blocks it may have. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from harness.contract.errors import UsageError

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smh])")
BUDGET_S_MAX = 30 * 86_400.0
# The largest `trials` that a profile may have.
BLOCKS_MAX = 100


def parse(text: str) -> float:
    """Parse `90s`, `3m` or `1.5h` into seconds.

    Raises:
        ValueError: the text is no such duration, or it is 0, or more than 30 days.
    """
    found = _TEXT.fullmatch(text.strip())
    duration_s = float(found[1]) * UNITS_S[found[2]] if found else 0.0
    if not 0 < duration_s <= BUDGET_S_MAX:
        raise ValueError(
            f"expected a number with a unit, like 90s, 3m or 1.5h, more than 0 and at most "
            f"{BUDGET_S_MAX / UNITS_S['h']:g}h; got `{text}`"
        )
    return duration_s


def shown(duration_s: float) -> str:
    """Format a duration for `parse`, rounded up: `90s`, `12m`, `2.5h`."""
    if duration_s < 2 * UNITS_S["m"]:
        return f"{math.ceil(duration_s)}s"
    if duration_s < 2 * UNITS_S["h"]:
        return f"{math.ceil(duration_s / UNITS_S['m'])}m"
    return f"{math.ceil(10 * duration_s / UNITS_S['h']) / 10:g}h"


def blocks_within(budget_s: float, least: int, cost_s: Callable[[int], float]) -> int:
    """The most blocks with which a campaign stays within the budget.

    Args:
        least: the fewest blocks that the campaign may have.
        cost_s: seconds that a campaign of this many blocks takes; it grows with the number.

    Raises:
        UsageError: the budget is too small for the fewest blocks.
    """
    least_s = cost_s(least)
    if budget_s < least_s:
        raise UsageError(
            f"the budget of {shown(budget_s)} is too small: the fewest blocks, {least}, "
            f"take about {shown(least_s)}, builds not included",
            hint=f"Ask for `--budget {shown(least_s)}` or more, for fewer servers, or for a "
            "shorter profile.",
        )
    blocks = least
    while blocks < BLOCKS_MAX and cost_s(blocks + 1) <= budget_s:
        blocks += 1
    return blocks
