"""Put an invisible shape with a text over each point of a chart, for the pointer.

A browser shows the text after a delay; the page's script shows it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markupsafe import escape

from harness.report.charts.axes import HEIGHT, WIDTH, Scale
from harness.report.charts.figure_data import Figure, Point, Series

# A ramp has hundreds of points; these are enough to read it.
POINTS_MAX = 20
# Where the renderer puts the plot: the labels are left of it.
_PLOT = re.compile(r'<g [^>]*?transform="translate\(([0-9.]+),([0-9.]+)\)"')


def over_lines(rendered: str, figure: Figure, x: Scale, y: Scale) -> str:
    """Return `rendered` with a shape over the points of every series."""
    shapes = "".join(
        f'<g class="hits" data-v="{series.colour}">{_dots(figure, series, x, y)}</g>'
        for series in figure.series
    )
    return _over(rendered, shapes)


def _dots(figure: Figure, series: Series, x: Scale, y: Scale) -> str:
    return "".join(
        f'<circle cx="{x.pixel(point.x, WIDTH):.0f}" '
        f'cy="{HEIGHT - y.pixel(point.y, HEIGHT):.0f}">'
        f"<title>{escape(_words(figure, series, point))}</title></circle>"
        for point in _some(series.points)
    )


def over_rows(rendered: str, rows: Sequence[tuple[int, str]], step_px: int) -> str:
    """Return `rendered` with a shape as wide as the plot over every row; rows: colour, words."""
    shapes = "".join(
        f'<rect class="hits row" data-v="{colour}" x="0" y="{step_px * index}" '
        f'width="{WIDTH}" height="{step_px}"><title>{escape(words)}</title></rect>'
        for index, (colour, words) in enumerate(rows)
    )
    return _over(rendered, shapes)


def _words(figure: Figure, series: Series, point: Point) -> str:
    where = "" if figure.kind in ("ramp", "percentiles") else f" at {point.x:,.0f}"
    return f"{series.variant}{where}: {point.text}"


def _some(points: tuple[Point, ...]) -> Iterator[Point]:
    stride = -(-len(points) // POINTS_MAX)
    last = len(points) - 1
    return (point for index, point in enumerate(points) if index % stride == 0 or index == last)


def _over(rendered: str, shapes: str) -> str:
    plot = _PLOT.search(rendered)
    if plot is None:
        return rendered
    left, top = plot.groups()
    over = f'<g transform="translate({left},{top})">{shapes}</g></svg>'
    return rendered.removesuffix("</svg>") + over
