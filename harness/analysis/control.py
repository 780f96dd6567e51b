"""The A/A pair: one variant that ran twice in each block, against itself.

Whatever differs between the two is no difference of servers, so their ratio is the noise floor of
the campaign: what the method makes of nothing. A pair that comes out different says that it makes
too much of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.intervals import compare_pairs
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


def floor(
    campaign: Mapping[str, Any], cells: Sequence[Cell], control: Sequence[Cell]
) -> tuple[Contrast, ...]:
    """The variant over itself at each cell with a figure in both, Holm-corrected over the cells."""
    known = {(cell.variant, cell.key): cell.efficiency for cell in cells if cell.efficiency}
    second = names(campaign)
    pairs: dict[str, tuple[dict[int, float], dict[int, float]]] = {}
    places: dict[str, Cell] = {}
    for cell in control:
        first = known.get((second[cell.variant], cell.key))
        if first and cell.efficiency:
            name = str(len(pairs))
            pairs[name] = (first.by_block, cell.efficiency.by_block)
            places[name] = cell
    return tuple(
        Contrast(places[name].variant, second[places[name].variant], places[name].key, one)
        for name, one in compare_pairs(pairs).items()
    )
