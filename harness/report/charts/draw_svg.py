"""Turn a figure into static SVG whose colours are the page's CSS variables.

A chart is a specification of Vega-Lite, which renderer.py renders without a browser. The harness
adds two things: ticks in steps of 1-2-5 fitted to the data (whole decades waste half of a plot),
and labels at the ends of lines that cover neither each other nor another line.

Rule 1: the same figure gives the same bytes: ids are numbered per chart, never per process.
Rule 2: a series ends where its data ends, and a single point is a dot.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from harness.report.charts import hits, ratio_rows, reach, renderer, rows, strips
from harness.report.charts.axes import (
    HEIGHT,
    LINE_PX,
    WIDTH,
    Label,
    Scale,
    apart,
    connections_axis,
    linear,
    logarithmic,
    percentile_axis,
)
from harness.report.charts.encodings import (
    FONT_PX,
    LABELS,
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
from harness.report.charts.figure_data import Figure
from harness.report.charts.labels import Align, Box, free_box, segments
from harness.report.charts.rows import ROW_PX

X_TITLES = {
    "cost": "open connections",
    "percentiles": "share of replies at least as fast",
    "load": "offered echoes/s",
    "ramp": "seconds since the first connect",
}
Y_TITLES = {
    "cost": "µs of server CPU per echo",
    "efficiency": "echoes per second of server CPU",
    "latency": "p99, ms (log)",
    "percentiles": "latency, ms (log)",
    "load": "p99, ms (log)",
    "ramp": "connections established",
}
LOG_KINDS = ("latency", "percentiles", "load")
# Kinds without dots: their lines have too many points, or points that come from one measurement.
DOTLESS_KINDS = ("ramp", "percentiles")
# Kinds whose lines end at different but close x: their names are next to the plot.
NAMED_BESIDE_KINDS = (*DOTLESS_KINDS, "load")
LINE_WIDTH_PX, QUIET_PX = 2, 1
# Areas in square pixels at which markers look equally large
DOT_PX2 = defaultdict(lambda: 44, circle=36, cross=64, diamond=54)
# The renderer measures text in its own font. The page's font may be wider, so this leaves room.
PADDING = {"left": 12, "right": 14, "top": 8, "bottom": 2}
# 1 / (1 - p) as per cent: 1 is 0 %, 10 is 90 %, 1,000 is 99.9 %.
PERCENT_LABELS = "format(100 * (1 - 1 / datum.value), '.8~g') + ' %'"
CONFIG: Spec = {
    "background": "transparent",
    "padding": PADDING,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--rule)",
        "domainColor": "var(--rule)",
        "tickColor": "var(--rule)",
        "labelFontSize": FONT_PX,
        "titleFontSize": FONT_PX,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelPadding": 5,
        "aria": False,
    },
}


def svg(figure: Figure, render: renderer.Render = renderer.here) -> str:
    """Render the chart; empty if the figure has nothing to draw."""
    drawn = spec(figure)
    if drawn is None:
        return ""
    image = _inlined(render(drawn), figure)
    if figure.kind == "strips":
        return hits.over_rows(image, strips.words(figure), strips.ROW_PX)
    if figure.bars or figure.kind in ("dots", "ratios"):
        words = ratio_rows.words(figure) if figure.kind == "ratios" else rows.words(figure)
        return hits.over_rows(image, words, ROW_PX)
    return hits.over_lines(image, figure, *scales(figure))


def spec(figure: Figure) -> Spec | None:
    """Return the chart as a specification of Vega-Lite; None if there is nothing to draw."""
    if figure.bars:
        drawn = rows.bars(figure)
    elif not figure.series:
        return None
    elif figure.kind == "dots":
        drawn = rows.dots(figure)
    elif figure.kind == "ratios":
        drawn = ratio_rows.spec(figure)
    elif figure.kind == "strips":
        drawn = strips.spec(figure)
    else:
        drawn = _lines(figure, *scales(figure))
    return {**drawn, "config": CONFIG}


def scales(figure: Figure) -> tuple[Scale, Scale]:
    """Return the axes of a chart with lines, fitted to its points."""
    points = [point for series in figure.series for point in series.points]
    highs = [point.high if point.high is not None else point.y for point in points]
    is_log = figure.kind in LOG_KINDS or figure.is_log
    y = logarithmic(min(p.y for p in points), max(highs)) if is_log else linear(max(highs))
    if figure.kind == "ramp":
        y = linear(max([*highs, figure.target]))
    if figure.kind == "percentiles":
        return percentile_axis(max(point.x for point in points)), y
    if figure.kind in ("cost", "ramp", "load"):
        beyond = [point for series in figure.series for point in series.beyond]
        return linear(max(point.x for point in (*points, *beyond))), y
    return connections_axis(sorted({point.x for point in points})), y


def _lines(figure: Figure, x: Scale, y: Scale) -> Spec:
    layers = [*_marks(figure, x, y), *_labels(figure, x, y)]
    if figure.target:
        layers.insert(0, _target(figure.target))
    return layered(layers, WIDTH, HEIGHT)


def _axis_x(figure: Figure, x: Scale) -> Spec:
    title = figure.x_title or X_TITLES.get(figure.kind, "open connections (log)")
    labels = PERCENT_LABELS if figure.kind == "percentiles" else LABELS
    return quantity("x", title=title, scale=scaled(x), axis=axis(x, labels))


def _axis_y(figure: Figure, y: Scale, field: str = "y") -> Spec:
    return quantity(field, title=_y_title(figure), scale=scaled(y), axis=axis(y))


def _y_title(figure: Figure) -> str:
    if figure.y_title:
        return f"{figure.y_title}{' (log)' if figure.is_log else ''}"
    return Y_TITLES[figure.kind]


def _marks(figure: Figure, x: Scale, y: Scale) -> list[Spec]:
    values: Values = [
        {
            "line": f"{series.variant}/{point.segment}",
            "colour": series.colour,
            "shape": series.shape,
            "dash": list(series.dash),
            "is_quiet": series.is_quiet,
            "x": point.x,
            "y": point.y,
            "low": point.low,
            "high": point.high,
        }
        for series in figure.series
        for point in series.points
    ]
    places = {
        "x": _axis_x(figure, x),
        "y": _axis_y(figure, y),
        "color": coloured(one.colour for one in figure.series),
    }
    lines = {**places, "detail": name("line")}
    marks = []
    loud = [value for value in values if not value["is_quiet"]]
    if banded := [value for value in loud if value["low"] is not None]:
        band = {**lines, "y": _axis_y(figure, y, "low"), "y2": {"field": "high"}}
        marks.append(layer(banded, "area", {"opacity": 0.15}, **band))
    quiet = [value for value in values if value["is_quiet"]]
    for width, some in ((QUIET_PX, quiet), (LINE_WIDTH_PX, loud)):
        for dash, alike in _by(some, "dash"):
            look = {"strokeWidth": width, **({"strokeDash": dash} if dash else {})}
            marks.append(layer(alike, "line", look, **lines))
    if figure.kind not in DOTLESS_KINDS:
        for shape, alike in _by(loud, "shape"):
            look = {"filled": True, "size": DOT_PX2[shape], "opacity": 1}
            look |= {} if shape == "circle" else {"shape": shape}
            marks.append(layer(alike, "point", look, **lines))
    marks += reach.layers(figure, places)
    if stops := _stops(figure):
        look = {"text": "✕", "fontSize": 15, "fontWeight": "bold"}
        marks.append(layer(stops, "text", look, **places))
    return marks


def _by(values: Values, field: str) -> Iterator[tuple[Any, Values]]:
    """Yield the values of each `field`, the most frequent last, so that it is on top."""
    known = sorted({str(value[field]): value[field] for value in values}.items(), reverse=True)
    for _, one in known:
        yield one, [value for value in values if value[field] == one]


def _stops(figure: Figure) -> Values:
    """Return a ✕ on the last measured point of each series that a ceiling ended."""
    return [
        {"colour": series.colour, "x": series.points[-1].x, "y": series.points[-1].y}
        for series in figure.series
        if series.stop
    ]


def _labels(figure: Figure, x: Scale, y: Scale) -> list[Spec]:
    """Place names at the ends of the lines; inside the plot, only where no line is."""
    ends: list[Label] = []
    charts: list[Spec] = []
    taken: list[Box] = []
    drawn = segments(figure.series, x, y)
    for series in figure.series:
        if series.is_quiet:
            continue
        last = series.points[-1]
        lines = [series.label, series.stop] if series.stop else [series.label]
        box = None
        if figure.kind not in NAMED_BESIDE_KINDS and last.x != x.high:
            end = (x.pixel(last.x, WIDTH), y.pixel(last.y, HEIGHT))
            box = free_box(end, lines, drawn, taken)
        if box is None:
            ends.append(Label(" ".join(lines), series.colour, x.high, last.y))
            continue
        taken.append(box)
        inside = [
            Label(
                line,
                series.colour,
                x.value(box.anchor, WIDTH),
                y.value(box.top - (row + 0.5) * LINE_PX, HEIGHT),
            )
            for row, line in enumerate(lines)
        ]
        charts.append(_text(figure, x, y, inside, box.align, 0))
    return [*charts, _text(figure, x, y, apart(ends, y), "left", 9)] if ends else charts


def _text(figure: Figure, x: Scale, y: Scale, labels: list[Label], align: Align, dx: float) -> Spec:
    values = [
        {"text": label.text, "colour": label.colour, "x": label.x, "y": label.y} for label in labels
    ]
    return layer(
        values,
        "text",
        {"align": align, "baseline": "middle", "dx": dx, "fontSize": FONT_PX},
        x=_axis_x(figure, x),
        y=_axis_y(figure, y),
        text=name("text"),
        color=coloured(one.colour for one in figure.series),
    )


def _target(connections: int) -> Spec:
    look = {"strokeDash": [4, 4], "color": "var(--muted)"}
    return layer([{"y": connections}], "rule", look, y=quantity("y"))


_ROOT = re.compile(r'<svg [^>]*?viewBox="(0 0 ([0-9.]+) [0-9.]+)"[^>]*>')
_FONT = re.compile(r' font-family="[^"]*"')
_ARIA = re.compile(r' (?:aria-[a-z]+|role)="[^"]*"')
# Attributes without a visible effect: a third of the bytes.
_IDLE = re.compile(
    r' (?:pointer-events="none"|opacity="1"|font-size="12px"|stroke-width="1")|'
    r'(?<=fill="var\(--s.\)") stroke-width="2"|(?<=fill="var\(--s..\)") stroke-width="2"|'
    r'<path class="(?:background|foreground)"[^>]*/>'
)
_LONG = re.compile(r"-?\d+\.\d\d+")
_TAG = re.compile(r"<[^>]*>")
_CLIP = re.compile(r"clip\d+")


def _shortened(match: re.Match[str]) -> str:
    """Round the coordinates of a tag; texts between tags keep their digits."""
    return _LONG.sub(_short, match.group())


def _short(match: re.Match[str]) -> str:
    """Round to a tenth of a pixel; an opacity below one keeps its digits."""
    value = float(match.group())
    return match.group() if 0 < abs(value) < 1 else f"{value:.1f}".removesuffix(".0")


def _inlined(rendered: str, figure: Figure) -> str:
    """Make the SVG part of the page: unique ids, the page's fonts, and labels for its title."""
    numbers: dict[str, int] = {}

    def clip(match: re.Match[str]) -> str:
        return f"{figure.id}-clip{numbers.setdefault(match.group(), len(numbers))}"

    lean = _TAG.sub(_shortened, _IDLE.sub("", _FONT.sub("", rendered)))
    body = _CLIP.sub(clip, _ARIA.sub("", lean))
    head: Callable[[re.Match[str]], str] = lambda match: (  # noqa: E731 (a one-line replacement)
        f'<svg class="chart" role="img" aria-labelledby="{figure.id}-title {figure.id}-reading" '
        f'viewBox="{match.group(1)}" style="width:{match.group(2)}px">'
    )
    return _ROOT.sub(head, body, count=1).replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
