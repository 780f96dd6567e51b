"""Compute axes of the charts: domains, ticks, and labels that do not overlap. Pure arithmetic.

A chart library leaves two things to its user: ticks in steps of 1-2-5 fitted to the data (whole
decades waste half of a plot), and moving apart the names at the ends of lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Size of the plot without labels and titles, in pixels.
WIDTH, HEIGHT = 330, 210
# Average width of a sans-serif letter, and the least distance of two lines of text, in pixels.
LETTER_PX, LINE_PX = 6.6, 14.0
TICKS_MAX = 6
# A logarithmic axis with more ticks than this keeps only those at whole decades.
LOG_TICKS_MAX = 9
STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: its domain, its ticks and whether it is logarithmic."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool

    def pixel(self, value: float, length: float) -> float:
        """Return the place of `value` on an axis of that length, in pixels from its low end."""
        return length * (self._at(value) - self._at(self.low)) / self._span

    def value(self, pixel: float, length: float) -> float:
        """Return the value at that place."""
        at = self._at(self.low) + pixel / length * self._span
        return 10**at if self.is_log else at

    @property
    def _span(self) -> float:
        return self._at(self.high) - self._at(self.low)

    def _at(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


@dataclass(frozen=True, slots=True)
class Label:
    """Text at the end of a line. `y` is first the end of the line, then the place of the text."""

    text: str
    colour: int
    x: float
    y: float


def linear(high: float) -> Scale:
    """Return a linear axis from zero to the first tick at or above `high`."""
    step = _step(max(high, 1e-9) / (TICKS_MAX - 1))
    count = max(1, math.ceil(high / step - 1e-9))
    return Scale(0.0, step * count, tuple(step * index for index in range(count + 1)), False)


def logarithmic(low: float, high: float) -> Scale:
    """Return a log axis from the tick at or below `low` to that at or above `high`, in 1-2-5."""
    steps = [
        step * 10.0**decade
        for decade in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
        for step in STEPS
    ]
    first = max(index for index, tick in enumerate(steps) if tick <= low * (1 + 1e-9))
    last = min(index for index, tick in enumerate(steps) if tick >= high * (1 - 1e-9))
    last = max(last, first + 1)
    ticks = steps[first : last + 1]
    if len(ticks) > LOG_TICKS_MAX:
        ticks = [tick for tick in ticks if math.isclose(math.log10(tick) % 1, 0, abs_tol=1e-9)]
    return Scale(steps[first], steps[last], tuple(ticks), True)


def connections_axis(measured: Sequence[float]) -> Scale:
    """Return a logarithmic axis with a tick at each measured N and no other."""
    low, high = measured[0], measured[-1]
    if low == high:
        return Scale(low / 2, high * 2, (low,), True)
    return Scale(low, high, tuple(measured), True)


def percentile_axis(high: float) -> Scale:
    """Return an axis of 1 / (1 - p) up to `high`, with a tick for each further nine."""
    nines = max(1, math.floor(math.log10(high) + 1e-9))
    ticks = tuple(10.0**power for power in range(nines + 1))
    return Scale(1.0, max(high, ticks[-1]), ticks, True)


def apart(labels: Sequence[Label], scale: Scale) -> list[Label]:
    """Move labels apart so that no two lines of text touch, each by as little as possible.

    They keep the order of their lines. If lines end at the same height, the first label gets the
    lowest place. (Isotonic regression by pooling: labels that collide become one block around their
    middle.)
    """
    ordered = sorted(labels, key=lambda label: label.y)
    blocks: list[tuple[float, int]] = []  # (lowest place, size)
    for label in ordered:
        place, size = _inside(scale.pixel(label.y, HEIGHT), 1), 1
        while blocks and blocks[-1][0] + blocks[-1][1] * LINE_PX > place:
            below, count = blocks.pop()
            place = (below * count + (place - count * LINE_PX) * size) / (count + size)
            size += count
            place = _inside(place, size)
        blocks.append((place, size))
    places = [place + step * LINE_PX for place, size in blocks for step in range(size)]
    return [
        Label(label.text, label.colour, label.x, scale.value(place, HEIGHT))
        for label, place in zip(ordered, places, strict=True)
    ]


def _inside(place: float, size: int) -> float:
    """Return the lowest place of a block at which all of it stays at the plot's height."""
    return max(0.0, min(place, HEIGHT - (size - 1) * LINE_PX))


def _step(least: float) -> float:
    decade = 10.0 ** math.floor(math.log10(least))
    return next(step * decade for step in (*STEPS, 10.0) if step * decade >= least * (1 - 1e-9))
