"""Axes of the charts: domains, ticks, and labels that do not cover each other. Pure arithmetic.

Two things that a chart library leaves to its user: ticks in steps of 1-2-5 fitted to the data
(whole decades waste half of a plot), and names at the ends of lines, moved apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Of the plot, labels and titles not counted, in pixels.
WIDTH, HEIGHT = 330, 210
# Average advance of a sans-serif letter, and the least distance of two lines of text.
LETTER_PX, LINE_PX = 6.6, 14.0
TICKS_MAX = 6
# A logarithmic axis of more ticks than this has room for those at whole decades only.
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
        """Where `value` is on an axis of that length, in pixels from its low end."""
        return length * (self._at(value) - self._at(self.low)) / self._span

    def value(self, pixel: float, length: float) -> float:
        """The value at that place."""
        at = self._at(self.low) + pixel / length * self._span
        return 10**at if self.is_log else at

    @property
    def _span(self) -> float:
        return self._at(self.high) - self._at(self.low)

    def _at(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


@dataclass(frozen=True, slots=True)
class Label:
    """Text at the end of a line. `y` is where the line ends, then where the text goes."""

    text: str
    colour: int
    x: float
    y: float


def linear(high: float) -> Scale:
    """From zero to the first tick at or above `high`."""
    step = _step(max(high, 1e-9) / (TICKS_MAX - 1))
    count = max(1, math.ceil(high / step - 1e-9))
    return Scale(0.0, step * count, tuple(step * index for index in range(count + 1)), False)


def logarithmic(low: float, high: float) -> Scale:
    """From the tick at or below `low` to the one at or above `high`, in steps of 1-2-5."""
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
    """Logarithmic, with a tick at each measured N and nowhere else."""
    low, high = measured[0], measured[-1]
    if low == high:
        return Scale(low / 2, high * 2, (low,), True)
    return Scale(low, high, tuple(measured), True)


def percentile_axis(high: float) -> Scale:
    """Of 1 / (1 - p): a tick for each further nine, from the lowest value to `high`."""
    nines = max(1, math.floor(math.log10(high) + 1e-9))
    ticks = tuple(10.0**power for power in range(nines + 1))
    return Scale(1.0, max(high, ticks[-1]), ticks, True)


def apart(labels: Sequence[Label], scale: Scale) -> list[Label]:
    """Move labels apart so that no two lines of text touch, each as little as can be.

    They keep the order of their lines; of lines that end at the same height, the one named first
    gets the lowest place. (Isotonic regression by pooling: a pile that collides becomes one
    block around its middle.)
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
    """The lowest place of a block so that it stays beside the plot, its foot first."""
    return max(0.0, min(place, HEIGHT - (size - 1) * LINE_PX))


def _step(least: float) -> float:
    decade = 10.0 ** math.floor(math.log10(least))
    return next(step * decade for step in (*STEPS, 10.0) if step * decade >= least * (1 - 1e-9))
