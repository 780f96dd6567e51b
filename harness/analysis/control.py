"""Compare a server that ran twice in each block with itself (A/A).

Nothing differs between the two but noise, so their ratio is the noise floor of the campaign. If the
pair comes out as different, the method finds differences that do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.intervals import Comparison, compare
from harness.analysis.looks import Look
from harness.analysis.results import Cell, Contrast
from harness.contract.stored_campaign import StoredHead


def names(head: StoredHead) -> dict[str, str]:
    """Return {second name: server} of a server that ran twice."""
    return {variant.name: variant.same_as for variant in head.variants if variant.same_as}


def apart(head: StoredHead, cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """Return the cells of the servers, and those of the second run of one of them."""
    second = names(head)
    return (
        tuple(cell for cell in cells if cell.variant not in second),
        tuple(cell for cell in cells if cell.variant in second),
    )


def distance(found: Comparison) -> float:
    """How much a server differed from itself, as a share of the lower figure: 0.02 for 2 %."""
    return max(found.ratio, 1 / found.ratio) - 1


def floor(
    head: StoredHead, cells: Sequence[Cell], control: Sequence[Cell], look: Look | None
) -> tuple[Contrast, ...]:
    """Compare the server with itself at each cell with a figure in both, as one family.

    It uses the rule of a ranking, because the pair tests this rule. Empty before the first look.
    """
    if look is None:
        return ()
    known = {(cell.variant, cell.key): cell.efficiency for cell in cells if cell.efficiency}
    second = names(head)
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
