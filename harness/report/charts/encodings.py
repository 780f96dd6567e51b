"""Build the parts of a Vega-Lite specification that all charts share: layers, axes, colours.

A specification is plain data, which tests check against the schema of Vega-Lite. A library that
builds it (Altair) took a third of the time of a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.report.charts.axes import Scale

FONT_PX = 12
# 100, 1k, 2.5M: labels of axes are short; the data tables have all digits.
LABELS = (
    "datum.value >= 1e6 ? format(datum.value / 1e6, '.3~g') + 'M' : "
    "datum.value >= 1e3 ? format(datum.value / 1e3, '.3~g') + 'k' : format(datum.value, '~g')"
)

Values = list[dict[str, Any]]
Spec = dict[str, Any]


def scaled(scale: Scale) -> Spec:
    """Return the scale of an axis; Vega-Lite must not round its domain."""
    return {
        "type": "log" if scale.is_log else "linear",
        "domain": [scale.low, scale.high],
        "nice": False,
        "zero": False,
    }


def axis(scale: Scale, labels: str = LABELS) -> Spec:
    """Return an axis with the ticks of `scale` and no others."""
    return {"values": list(scale.ticks), "labelExpr": labels, "labelFlush": False, "ticks": False}


def quantity(field: str, **members: Any) -> Spec:
    """Return the encoding of a field of numbers."""
    return {"field": field, "type": "quantitative", **members}


def name(field: str, **members: Any) -> Spec:
    """Return the encoding of a field of words, or of numbers that mean words."""
    return {"field": field, "type": "nominal", **members}


def coloured(indices: Iterable[int]) -> Spec:
    """Return the colours of servers, which are CSS variables of the page."""
    known = sorted(set(indices))
    colours = [f"var(--s{index})" for index in known]
    return name("colour", legend=None, scale={"domain": known, "range": colours})


def layer(values: Values, mark: str, look: Spec, **encoding: Spec) -> Spec:
    """Draw one mark, such as `line`, for these values."""
    return {
        "data": {"values": values},
        "mark": {"type": mark, "aria": False, **look},
        "encoding": encoding,
    }


def layered(layers: Sequence[Spec], width: float, height: float) -> Spec:
    """Return a chart of these layers, the first one at the bottom; its size is in pixels."""
    return {"layer": list(layers), "width": width, "height": height}
