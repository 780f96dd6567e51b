"""Charts of one row per server: bars of memory, and dots where there are too few for a line."""

from __future__ import annotations

from typing import Any

import altair as alt

from harness.analysis.results import MEMORY_KINDS
from harness.report.axes import LETTER_PX, WIDTH, Scale, linear, logarithmic
from harness.report.encodings import FONT_PX, Layered, Values, axis, chart, coloured, scaled
from harness.report.figures import Bar, Figure, Series

ROW_PX = 22
DOT_PX2, BAND_PX, SPAN_PX = 64, 8, 1.5


def words(figure: Figure) -> tuple[tuple[int, str], ...]:
    """`(colour, what a pointer over the row says)`, from the top."""
    bars = ((bar.colour, _parts(bar)) for bar in figure.bars)
    dots = ((series.colour, _points(figure, series)) for series in figure.series)
    return tuple(bars) or tuple(dots)


def bars(figure: Figure) -> Layered:
    """Memory per connection, its kinds stacked, with the total at the end of each bar."""
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
    colour = alt.Color(
        "kind:N",
        legend=None,
        scale=alt.Scale(
            domain=list(MEMORY_KINDS), range=[f"var(--k-{kind})" for kind in MEMORY_KINDS]
        ),
    )
    drawn = chart(values).mark_bar(size=ROW_PX - 8, aria=False)
    drawn = drawn.encode(
        x=_across("from", x, "KiB per connection"), x2="to:Q", y=_servers(names), color=colour
    )
    return _layered([drawn, _ends(totals, names)], names)


def dots(figure: Figure) -> Layered:
    """One dot per level, the last one filled, over its interval; the values stand at the end."""
    values, spans, ends = _dots(figure)
    names = [series.variant for series in figure.series]
    lows = [value["low"] for value in values]
    highs = [value["high"] for value in values]
    x = logarithmic(min(lows), max(highs)) if figure.is_log else linear(max(highs))
    title = f"{figure.y_title}{' (log)' if figure.is_log else ''}"
    colour = coloured(series.colour for series in figure.series)
    dot = chart(values).mark_point(size=DOT_PX2, strokeWidth=2, opacity=1, aria=False)
    fill = alt.condition("datum.is_last", colour, alt.value("var(--bg)"))
    layers = [
        _line(values, BAND_PX, 0.22).encode(
            x=_across("low", x, title), x2="high:Q", y=_servers(names), color=colour
        ),
        _line(spans, SPAN_PX, 0.7).encode(
            x=_across("low", x, title), x2="high:Q", y=_servers(names), color=colour
        ),
        dot.encode(x=_across("at", x, title), y=_servers(names), stroke=colour, fill=fill),
        _ends(ends, names),
    ]
    return _layered(layers, names)


def _dots(figure: Figure) -> tuple[Values, Values, Values]:
    """The dots with their intervals, the spans between them, and the text at their ends."""
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


def _line(values: Values, width_px: float, opacity: float) -> alt.Chart:
    line: alt.Chart = chart(values).mark_rule(
        strokeWidth=width_px, opacity=opacity, strokeCap="round", aria=False
    )
    return line


def _ends(values: Values, names: list[str]) -> alt.Chart:
    text = chart(values).mark_text(
        align="left", baseline="middle", dx=9, fontSize=FONT_PX, color="var(--ink)", aria=False
    )
    ends: alt.Chart = text.encode(x=alt.X("at:Q"), y=_servers(names), text="text:N")
    return ends


def _across(field: str, x: Scale, title: str) -> alt.X:
    return alt.X(f"{field}:Q", title=title, scale=scaled(x), axis=axis(x))


def _servers(names: list[str]) -> alt.Y:
    """Room for the longest name as the page writes it, whose font the renderer does not know."""
    room = max(map(len, names)) * LETTER_PX
    return alt.Y(
        "variant:N",
        sort=names,
        title=None,
        axis=alt.Axis(ticks=False, grid=False, minExtent=room, labelLimit=0),
    )


def _layered(layers: list[alt.Chart], names: list[str]) -> Layered:
    layered: Layered = alt.layer(*layers).properties(width=WIDTH, height=ROW_PX * len(names))
    return layered


def _parts(bar: Bar) -> str:
    parts = ", ".join(f"{kind} {size:.2f}" for kind, size in bar.parts if size)
    return f"{bar.variant}: per connection {bar.label} ({parts})"


def _points(figure: Figure, series: Series) -> str:
    known = sorted({point.x for one in figure.series for point in one.points})
    levels = dict(zip(known, figure.levels, strict=True))
    told = ", ".join(f"{levels[point.x]}: {point.text}" for point in series.points)
    return f"{series.variant}: {told}"
