"""Draw one strip per server over the course of a campaign, all on one scale."""

from __future__ import annotations

import json

from harness.report.charts.axes import LETTER_PX, WIDTH
from harness.report.charts.encodings import Spec, coloured, layer, layered, name, quantity
from harness.report.charts.figure_data import Figure

ROW_PX = 30
# A strip shows so much more or less than the mean; what is beyond lies on its edge.
REACH = 0.3
# Of a row's height, for the strip: the rest separates it from the next.
FILL = 0.84


def spec(figure: Figure) -> Spec:
    """Draw the points of each server around the middle of its row; y is relative to its mean."""
    names = [series.variant for series in figure.series]
    values = [
        {
            "line": f"{series.variant}/{point.segment}",
            "colour": series.colour,
            "x": point.x,
            "y": row + 0.5 - _reached(point.y - 1),
        }
        for row, series in enumerate(figure.series)
        for point in series.points
    ]
    x_scale = {"domain": [0, len(figure.spans)], "nice": False, "zero": False}
    y_scale = {"domain": [len(names), 0], "nice": False, "zero": False}
    rows = [row + 0.5 for row in range(len(names))]
    sides = {
        "values": rows,
        "labelExpr": f"{json.dumps(names)}[floor(datum.value)]",
        "ticks": False,
        "domain": False,
        "minExtent": max(map(len, names)) * LETTER_PX,
        "labelLimit": 0,
    }
    count = len(figure.spans)
    bottom = {
        "values": list(range(count + 1)),
        "ticks": False,
        "labelExpr": f"{json.dumps([*figure.spans, ''])}[datum.value]",
        "labelOffset": WIDTH / count / 2,  # from the beginning of a stretch to its middle
    }
    x = quantity("x", title=figure.x_title, scale=x_scale, axis=bottom)
    y = quantity("y", title=None, scale=y_scale, axis=sides)
    drawn = layer(
        values,
        "line",
        {"strokeWidth": 1.5},
        x=x,
        y=y,
        detail=name("line"),
        color=coloured(series.colour for series in figure.series),
    )
    return layered([drawn], WIDTH, ROW_PX * len(names))


def words(figure: Figure) -> tuple[tuple[int, str], ...]:
    """Return `(colour, text for a pointer over the row)` of each row, from the top."""
    return tuple((series.colour, f"{series.variant}: {series.label}") for series in figure.series)


def _reached(share: float) -> float:
    """Return a change as a share of the row's height."""
    return max(-1.0, min(1.0, share / REACH)) * FILL / 2
