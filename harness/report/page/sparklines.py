"""Draw the ten parts of a noisy window next to the word *noisy*."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from markupsafe import Markup

from harness.analysis import wording
from harness.analysis.results import Cell, Tenths
from harness.contract.statuses import CellStatus
from harness.report.sections.anchors import anchor

WIDTH_PX, HEIGHT_PX = 40, 16
# The line of the mean is in the middle; a tenth this far from it lies on the edge.
REACH = 0.3

_SVG = Markup(
    '<svg class="spark" viewBox="0 0 {width} {height}" role="img" aria-label="{words}">'
    '<title>{words}</title><line x1="0" x2="{width}" y1="{middle}" y2="{middle}"/>'
    '<path d="{path}"/></svg>'
)


def of_cells(cells: Iterable[Cell]) -> Mapping[str, Markup]:
    """Return {id of the cell's row: drawing} of cells with a noisy trial whose tenths are known.

    Of several noisy trials the least even one is drawn.
    """
    found = {}
    for cell in cells:
        noisy = [one for one in cell.tenths if one.status == CellStatus.NOISY]
        if noisy:
            found[anchor(cell)] = _drawn(max(noisy, key=_unevenness))
    return found


def changes(one: Tenths) -> tuple[float, ...]:
    """Return each tenth's rate over the window's mean, less one: −0.1 is 10 % less."""
    mean = statistics.fmean(one.per_s)
    return tuple(rate / mean - 1 for rate in one.per_s)


def _unevenness(one: Tenths) -> tuple[float, int]:
    return max(map(abs, changes(one))), -one.block


def _drawn(one: Tenths) -> Markup:
    found = changes(one)
    step = WIDTH_PX / max(1, len(found) - 1)
    points = " ".join(
        f"{step * place:.4g} {_height(change):.3g}" for place, change in enumerate(found)
    )
    low, high = (wording.change(end) for end in (min(found), max(found)))
    words = f"Tenths of the window, block {one.block}: {low} to {high} around the mean"
    return _SVG.format(
        width=WIDTH_PX, height=HEIGHT_PX, middle=HEIGHT_PX / 2, words=words, path=f"M{points}"
    )


def _height(change: float) -> float:
    within = max(-1.0, min(1.0, change / REACH))
    return HEIGHT_PX / 2 * (1 - within)
