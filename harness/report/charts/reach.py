"""Draw how far a line would go on: to rates that the host cannot offer."""

from __future__ import annotations

from harness.report.charts.encodings import Spec, Values, layer, name
from harness.report.charts.figure_data import Figure

DASH_PX = (3, 4)


def layers(figure: Figure, places: Spec) -> list[Spec]:
    """Return a dashed line from each series' end through the rates beyond it, and open circles.

    Args:
        places: the encodings of x, y and colour that the chart's lines have.
    """
    lines: Values = []
    dots: Values = []
    for series in figure.series:
        if not series.beyond or not series.points or series.is_quiet:
            continue
        row = {"line": series.variant, "colour": series.colour}
        own = [row | {"x": one.x, "y": one.y} for one in series.beyond]
        last = series.points[-1]
        lines += [row | {"x": last.x, "y": last.y}, *own]
        dots += own
    if not dots:
        return []
    encoded = {**places, "detail": name("line")}
    dashed = {"strokeWidth": 1.5, "strokeDash": list(DASH_PX), "opacity": 0.7}
    open_circle = {
        "filled": True,
        "fill": "var(--bg)",
        "size": 36,
        "opacity": 1,
        "strokeWidth": 1.5,
    }
    stroked = {name: value for name, value in encoded.items() if name != "color"}
    return [
        layer(lines, "line", dashed, **encoded),
        layer(dots, "point", open_circle, **stroked, stroke=places["color"]),
    ]
