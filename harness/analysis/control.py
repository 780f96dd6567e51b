"""The A/A pair: one variant that ran twice in each block, against itself.

Whatever differs between the two is no difference of servers, so their ratio is the noise floor of
the campaign: what the method makes of nothing. A pair that comes out different says that it makes
too much of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.intervals import Comparison, compare
from harness.analysis.looks import Look
from harness.analysis.results import Cell, Contrast


def names(campaign: Mapping[str, Any]) -> dict[str, str]:
    """{second name: the variant that it is} of `campaign.json`."""
    entries = campaign.get("variants") or ()
    return {str(one.get("name")): str(one["same_as"]) for one in entries if one.get("same_as")}


def apart(
    campaign: Mapping[str, Any], cells: Sequence[Cell]
) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """The cells of the variants, and those of the second run of one of them."""
    second = names(campaign)
    return (
        tuple(cell for cell in cells if cell.variant not in second),
        tuple(cell for cell in cells if cell.variant in second),
    )


def distance(found: Comparison) -> float:
    """How much a server differed from itself, as a share of the lower figure: 0.02 for 2 %."""
    return max(found.ratio, 1 / found.ratio) - 1


def floor(
    campaign: Mapping[str, Any], cells: Sequence[Cell], control: Sequence[Cell], look: Look | None
) -> tuple[Contrast, ...]:
    """The variant over itself at each cell with a figure in both, one family; none before a look.

    The same rule as that of a ranking: it is the rule that the pair is to test.
    """
    if look is None:
        return ()
    known = {(cell.variant, cell.key): cell.efficiency for cell in cells if cell.efficiency}
    second = names(campaign)
    pairs = [
        (cell, look.until(first.series), look.until(cell.efficiency.series))
        for cell in control
        if cell.efficiency and (first := known.get((second[cell.variant], cell.key)))
    ]
    confidence = look.confidence_of(len(pairs))
    return tuple(
        Contrast(cell.variant, second[cell.variant], cell.key, found)
        for cell, first, again in pairs
        if (found := compare(first, again, confidence))
    )
