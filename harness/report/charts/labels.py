"""Place a name inside a plot, next to the end of its line and on no line. Pure arithmetic.

Pixels count from the plot's lower left corner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

from harness.report.charts.axes import HEIGHT, LETTER_PX, LINE_PX, WIDTH, Scale
from harness.report.charts.figure_data import Series

Align = Literal["left", "center", "right"]
# Distance from the end of a line to its name, in pixels. Further away, a reader no longer sees
# which line the name belongs to.
GAP_PX, FAR_PX, STEP_PX = 9.0, 72.0, 3.0
# Least distance of text from lines of the chart, which are 2 pixels wide.
CLEAR_PX = 2.0
Segment = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A block of text; `align` names its exact edge, since letters differ in width."""

    left: float
    bottom: float
    right: float
    top: float
    align: Align

    @property
    def anchor(self) -> float:
        """The horizontal place at which its lines are aligned."""
        middle = (self.left + self.right) / 2
        return {"left": self.left, "center": middle, "right": self.right}[self.align]

    def touches(self, other: Box) -> bool:
        """Return whether the two have a point in common."""
        return (
            self.left <= other.right
            and other.left <= self.right
            and self.bottom <= other.top
            and other.bottom <= self.top
        )

    def is_crossed(self, segment: Segment) -> bool:
        """Return whether the segment is partly inside or too close (Liang-Barsky clipping)."""
        x0, y0, x1, y1 = segment
        low, high = 0.0, 1.0
        for step, start, least, most in (
            (x1 - x0, x0, self.left - CLEAR_PX, self.right + CLEAR_PX),
            (y1 - y0, y0, self.bottom - CLEAR_PX, self.top + CLEAR_PX),
        ):
            if step == 0:
                if not least <= start <= most:
                    return False
                continue
            enters, leaves = sorted(((least - start) / step, (most - start) / step))
            low, high = max(low, enters), min(high, leaves)
        return low <= high


def segments(series: Sequence[Series], x: Scale, y: Scale) -> list[Segment]:
    """Return all lines and dots of a chart; a single dot is a segment without length."""
    found: list[Segment] = []
    for one in series:
        drawn = [(x.pixel(p.x, WIDTH), y.pixel(p.y, HEIGHT), p.segment) for p in one.points]
        found += [(px, py, px, py) for px, py, _ in drawn]
        found += [(x0, y0, x1, y1) for (x0, y0, a), (x1, y1, b) in pairwise(drawn) if a == b]
    return found


def free_box(
    end: tuple[float, float],
    lines: Sequence[str],
    drawn: Sequence[Segment],
    taken: Sequence[Box],
) -> Box | None:
    """Return the nearest free place for `lines` near `end`; None if there is none."""
    for box in _places(end, max(map(len, lines)) * LETTER_PX, len(lines) * LINE_PX):
        is_inside = 0 <= box.left <= box.right <= WIDTH and 0 <= box.bottom <= box.top <= HEIGHT
        is_free = is_inside and not any(map(box.touches, taken))
        if is_free and not any(map(box.is_crossed, drawn)):
            return box
    return None


def _places(end: tuple[float, float], width: float, height: float) -> Iterator[Box]:
    """Yield places next to, above and below the end; the nearest first, right before left."""
    x, y = end
    edges: tuple[tuple[float, Align], ...] = (
        (x + GAP_PX, "left"),
        (x - width / 2, "center"),
        (x - GAP_PX - width, "right"),
    )
    steps = range(int(FAR_PX / STEP_PX) + 1)
    for step, (left, align), way in product(steps, edges, (1, -1)):
        middle = y + way * step * STEP_PX
        yield Box(left, middle - height / 2, left + width, middle + height / 2, align)
