"""Draw charts of one row per server: stacked bars, and dots if there are too few for a line."""

from __future__ import annotations

from typing import Any

from harness.report.charts.axes import LETTER_PX, WIDTH, Scale, linear, logarithmic
from harness.report.charts.encodings import (
    FONT_PX,
    Spec,
    Values,
    axis,
    coloured,
    layer,
    layered,
    name,
    quantity,
    scaled,
)
from harness.report.charts.figure_data import Bar, Figure, Series

ROW_PX = 22
DOT_PX2, BAND_PX, SPAN_PX = 64, 8, 1.5


def words(figure: Figure) -> tuple[tuple[int, str], ...]:
    """Return `(colour, text for a pointer over the row)` of each row, from the top."""
    bars = ((bar.colour, _parts(bar)) for bar in figure.bars)
    dots = ((series.colour, _points(figure, series)) for series in figure.series)
    return tuple(bars) or tuple(dots)


def bars(figure: Figure) -> Spec:
    """Draw the parts of each server's bar, stacked, with the total at the end of the bar."""
    values: Values = []
    totals: Values = []
    for bar in figure.bars:
        reached = 0.0
        for kind, size in bar.parts:
            values.append(
                {"variant": bar.variant, "kind": kind, "from": reached, "to": reached + size}
            )
            reached += size
        totals.append({"variant": bar.variant, "at": reached, "text": bar.label})
    names = [bar.variant for bar in figure.bars]
    x = linear(max(total["at"] for total in totals))
    kinds = [kind for kind, _ in figure.parts]
    colours = [f"var(--{colour})" for _, colour in figure.parts]
    drawn = layer(
        values,
        "bar",
        {"size": ROW_PX - 8},
        x=across("from", x, figure.x_title),
        x2={"field": "to"},
        y=servers(names),
        color=name("kind", legend=None, scale={"domain": kinds, "range": colours}),
    )
    return _layered([drawn, _ends(totals, names)], names)


def dots(figure: Figure) -> Spec:
    """Draw one dot per level over its interval, the last one filled, with the values at the end."""
    values, spans, ends = _dots(figure)
    names = [series.variant for series in figure.series]
    lows = [value["low"] for value in values]
    highs = [value["high"] for value in values]
    x = logarithmic(min(lows), max(highs)) if figure.is_log else linear(max(highs))
    title = f"{figure.y_title}{' (log)' if figure.is_log else ''}"
    colour = coloured(series.colour for series in figure.series)
    band = {"x": across("low", x, title), "x2": {"field": "high"}, "y": servers(names)}
    fill = {"condition": {"test": "datum.is_last", **colour}, "value": "var(--bg)"}
    dot = layer(
        values,
        "point",
        {"size": DOT_PX2, "strokeWidth": 2, "opacity": 1},
        x=across("at", x, title),
        y=servers(names),
        stroke=colour,
        fill=fill,
    )
    layers = [
        layer(values, "rule", _line(BAND_PX, 0.22), **band, color=colour),
        layer(spans, "rule", _line(SPAN_PX, 0.7), **band, color=colour),
        dot,
        _ends(ends, names),
    ]
    return _layered(layers, names)


def _dots(figure: Figure) -> tuple[Values, Values, Values]:
    """Return the dots with their intervals, the spans between them, and the text at their ends."""
    last = max(point.x for series in figure.series for point in series.points)
    values: Values = []
    spans: Values = []
    ends: Values = []
    for series in figure.series:
        row: dict[str, Any] = {"variant": series.variant, "colour": series.colour}
        places = [point.y for point in series.points]
        own = [
            row
            | {
                "at": point.y,
                "low": point.y if point.low is None else point.low,
                "high": point.y if point.high is None else point.high,
                "is_last": point.x == last,
            }
            for point in series.points
        ]
        values += own
        spans.append(row | {"low": min(places), "high": max(places)})
        told = " / ".join(point.value for point in series.points)
        ends.append(row | {"at": max(value["high"] for value in own), "text": told})
    return values, spans, ends


def _line(width_px: float, opacity: float) -> Spec:
    return {"strokeWidth": width_px, "opacity": opacity, "strokeCap": "round"}


def _ends(values: Values, names: list[str]) -> Spec:
    look = {
        "align": "left",
        "baseline": "middle",
        "dx": 9,
        "fontSize": FONT_PX,
        "color": "var(--ink)",
    }
    return layer(values, "text", look, x=quantity("at"), y=servers(names), text=name("text"))


def across(field: str, x: Scale, title: str) -> Spec:
    return quantity(field, title=title, scale=scaled(x), axis=axis(x))


def servers(names: list[str]) -> Spec:
    """Reserve room for the longest name: the renderer does not know the page's font."""
    room = max(map(len, names)) * LETTER_PX
    sides = {"ticks": False, "grid": False, "minExtent": room, "labelLimit": 0}
    return name("variant", sort=names, title=None, axis=sides)


def _layered(layers: list[Spec], names: list[str]) -> Spec:
    return layered(layers, WIDTH, ROW_PX * len(names))


def _parts(bar: Bar) -> str:
    parts = ", ".join(f"{kind} {size:.2f}" for kind, size in bar.parts if size)
    return f"{bar.variant}: {bar.label} ({parts})"


def _points(figure: Figure, series: Series) -> str:
    known = sorted({point.x for one in figure.series for point in one.points})
    levels = dict(zip(known, figure.levels, strict=True))
    told = ", ".join(f"{levels[point.x]}: {point.text}" for point in series.points)
    return f"{series.variant}: {told}"
