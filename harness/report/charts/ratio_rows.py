"""Draw how many times slower each server is: one dot per trial, and the interval over them."""

from __future__ import annotations

import math

from harness.report.charts.axes import TICKS_MAX, WIDTH, Scale
from harness.report.charts.encodings import (
    FONT_PX,
    Spec,
    Values,
    coloured,
    layer,
    layered,
    name,
    quantity,
)
from harness.report.charts.figure_data import Figure
from harness.report.charts.rows import ROW_PX, across, servers

# Above this ratio of its ends an axis is logarithmic, so that equal ratios are equally long.
LINEAR_MAX = 2.0
STEPS = (1.0, 2.0, 5.0)
# Ticks of a logarithmic axis: each is about 1.4 times the one before.
LOG_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
TRIAL_PX2, MEAN_PX, SPAN_PX = 26, 3, 5


def axis_of(low: float, high: float) -> Scale:
    """Return an axis of ratios from the tick below `low` to that above `high`; 1 is on it.

    It does not start at zero: a dot's place has a meaning, its distance from an edge has none.
    """
    low, high = min(low, 1.0), max(high, 1.0)
    if high / low <= LINEAR_MAX:
        return _linear(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [step * 10.0**decade for decade in decades for step in LOG_STEPS]
    first = max(step for step in steps if step <= low * (1 + 1e-9))
    last = min(step for step in steps if step >= high * (1 - 1e-9))
    ticks = tuple(step for step in steps if first <= step <= last)
    if len(ticks) > 2 * TICKS_MAX:
        ticks = tuple(step for step in ticks if _is_coarse(step) or step in (first, last))
    return Scale(first, last, ticks, True)


def _is_coarse(step: float) -> bool:
    return any(
        math.isclose(step / 10.0 ** math.floor(math.log10(step) + 1e-9), one) for one in STEPS
    )


def _linear(low: float, high: float) -> Scale:
    least = max(high - low, 0.05) / (TICKS_MAX - 1)
    decade = 10.0 ** math.floor(math.log10(least))
    step = next(one * decade for one in (*STEPS, 10.0) if one * decade >= least * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(round(step * place, 9) for place in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks, False)


def spec(figure: Figure) -> Spec:
    """Draw a row per server. Its first point is the mean with its interval; each other a trial."""
    names = [series.variant for series in figure.series]
    means: Values = []
    trials: Values = []
    for series in figure.series:
        row = {"variant": series.variant, "colour": series.colour}
        mean, *others = series.points
        means.append(
            row
            | {"at": mean.y, "low": mean.low, "high": mean.high, "text": mean.value}
            | {"end": max([mean.y, mean.high or mean.y, *(one.y for one in others)])}
        )
        trials += [row | {"at": one.y} for one in others]
    lows = [value["low"] for value in means] + [value["at"] for value in trials]
    x = axis_of(min(lows), max(value["end"] for value in means))
    colour = coloured(series.colour for series in figure.series)
    y = servers(names)
    band = {"x": across("low", x, figure.x_title), "x2": {"field": "high"}, "y": y}
    look = {"strokeWidth": SPAN_PX, "opacity": 0.3, "strokeCap": "round"}
    one = layer([{"at": 1.0}], "rule", {"color": "var(--muted)", "strokeDash": [4, 4]})
    one["encoding"] = {"x": across("at", x, figure.x_title)}
    text = {"align": "left", "baseline": "middle", "dx": 9, "fontSize": FONT_PX}
    dot = {"filled": True, "size": TRIAL_PX2, "opacity": 0.55}
    tick = {"thickness": MEAN_PX, "size": ROW_PX - 8, "opacity": 1}
    layers = [
        one,
        layer(means, "rule", look, **band, color=colour),
        layer(trials, "point", dot, x=across("at", x, figure.x_title), y=y, color=colour),
        layer(means, "tick", tick, x=across("at", x, figure.x_title), y=y, color=colour),
        layer(
            means,
            "text",
            {**text, "color": "var(--ink)"},
            x=quantity("end"),
            y=y,
            text=name("text"),
        ),
    ]
    return layered(layers, WIDTH, ROW_PX * len(names))


def words(figure: Figure) -> tuple[tuple[int, str], ...]:
    """Return `(colour, text for a pointer over the row)` of each row, from the top."""
    return tuple(
        (series.colour, f"{series.variant}: {series.points[0].text}") for series in figure.series
    )
