"""Payload and depth: a line from three sizes on, and a row of dots for each server below."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import synthetic

from harness.analysis.results import Analysis
from harness.report import model
from harness.report.charts import draw_svg
from harness.report.charts.figure_data import Figure
from harness.report.model import Model
from harness.report.page import html
from harness.report.sections import varied


@pytest.fixture(scope="module")
def others() -> Model:
    """Payloads of three sizes, depths 1 and 8, churn by FIN and by RST."""
    head = synthetic.campaign(others=True)
    return model.build(head, synthetic.records(head), synthetic.outcomes(head))


def figure(built: Model, name: str) -> Figure:
    return next(one for one in built.figures if one.id == name)


def with_depths(built: Model, payload_bytes: int, *depths: int) -> Analysis:
    """Cells of `depth` like the headline's."""
    found = tuple(
        replace(
            cell, key=replace(cell.key, scenario="depth", depth=depth, payload_bytes=payload_bytes)
        )
        for cell in built.analysis.cells
        if cell.key == built.analysis.headline.key
        for depth in depths
    )
    return replace(built.analysis, cells=(*built.analysis.cells, *found))


@pytest.mark.parametrize(
    ("payload_bytes", "depths", "points", "kind"),
    [
        (64, (8,), [1, 8], "dots"),
        (4_096, (8,), [8], "dots"),
        (64, (4, 8), [1, 4, 8], "efficiency"),
    ],
)
def test_depths_begin_at_the_idle_cell_that_lacks_only_them_and_three_make_a_line(
    built: Model, payload_bytes: int, depths: tuple[int, ...], points: list[int], kind: str
) -> None:
    (drawn,) = varied.figures(with_depths(built, payload_bytes, *depths), built.variants)

    (poll,) = [series for series in drawn.series if series.variant == "poll"]
    assert [point.x for point in poll.points] == points
    assert drawn.kind == kind
    assert drawn.levels == (tuple(map(str, points)) if kind == "dots" else ())


def test_a_row_has_a_dot_for_each_size_its_interval_and_its_values(others: Model) -> None:
    depth = figure(others, "fig-depth-efficiency")
    drawn = draw_svg.svg(depth)
    servers = len(depth.series)

    (dots,) = re.findall(r'<g class="mark-symbol[^>]*>(.*?)</g>', drawn)
    assert dots.count("<path") == 2 * servers
    assert dots.count('fill="var(--bg)"') == servers
    assert "mark-line" not in drawn
    for series in depth.series:
        first, last = series.points
        assert f">{first.value} / {last.value}</text>" in drawn
        assert f"<title>{series.variant}: 1: {first.text}, 8: {last.text}</title>" in drawn


def test_every_value_of_a_row_is_in_the_table_below_it(others: Model) -> None:
    depth = figure(others, "fig-depth-efficiency")
    table = {(row[0], row[1]): row[2] for row in depth.rows}

    for series in depth.series:
        told = [table[series.variant, f"{point.x:g}"] for point in series.points]
        assert told == [point.value for point in series.points]
    assert "messages in flight per connection</p>" in html.render(others)
