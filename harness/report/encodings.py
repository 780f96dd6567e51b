"""What all charts have in common, in the terms of Altair: axes, colours and short numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
from altair.utils import schemapi

from harness.report.axes import Scale

FONT_PX = 12
# 100, 1k, 2.5M: values on axes are short; the data tables have the digits.
LABELS = (
    "datum.value >= 1e6 ? format(datum.value / 1e6, '~g') + 'M' : "
    "datum.value >= 1e3 ? format(datum.value / 1e3, '~g') + 'k' : format(datum.value, '~g')"
)

Values = list[dict[str, Any]]
Layered = alt.LayerChart | alt.FacetChart


def scaled(scale: Scale) -> alt.Scale:
    """The scale of an axis, as it is: nothing is rounded."""
    return alt.Scale(
        type="log" if scale.is_log else "linear",
        domain=[scale.low, scale.high],
        nice=False,
        zero=False,
    )


def axis(scale: Scale, labels: str = LABELS) -> alt.Axis:
    """An axis with the ticks of `scale` and no others."""
    return alt.Axis(values=list(scale.ticks), labelExpr=labels, labelFlush=False, ticks=False)


def coloured(indices: Iterable[int]) -> alt.Color:
    """The colours of servers, which are variables of the page."""
    known = sorted(set(indices))
    return alt.Color(
        "colour:N",
        legend=None,
        scale=alt.Scale(domain=known, range=[f"var(--s{index})" for index in known]),
    )


def chart(values: Values) -> alt.Chart:
    """A chart of these values, without a mark yet."""
    # Altair copies a list with all that is in it at each step of a chart, and a tuple never. To its
    # schema only a list is an array
    return alt.Chart({"values": values if schemapi.DEBUG_MODE else tuple(values)})
