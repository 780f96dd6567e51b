"""Charts: what Vega-Lite's schema allows, and the same with and without a process of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import altair
import pytest
from jsonschema import ValidationError

from harness.report.charts import draw_svg, renderer
from harness.report.model import Model


def test_a_chart_is_the_same_from_a_process_of_its_own_and_without_one(built: Model) -> None:
    figure = next(figure for figure in built.figures if draw_svg.spec(figure))

    others = children()

    with renderer.started() as render:
        beside = draw_svg.svg(figure, render)
        (process,) = children() - others
        os.kill(process, signal.SIGKILL)
        alone = draw_svg.svg(figure, render)

    assert beside == alone == draw_svg.svg(figure)
    assert children() == others


def children() -> set[int]:
    """The processes that this one started."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def test_each_chart_is_what_the_schema_of_vega_lite_allows(built: Model) -> None:
    assert f"v{renderer.VEGA_LITE}." in altair.SCHEMA_VERSION
    specs = [spec for figure in built.figures if (spec := draw_svg.spec(figure))]
    assert specs
    for spec in specs:
        assert altair.LayerChart.from_dict(spec).to_dict()["layer"]

    unknown = {**specs[0], "layers": []}
    with pytest.raises(ValidationError):
        altair.LayerChart.from_dict(unknown)
