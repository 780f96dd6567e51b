"""Names inside a plot stand on no line: as computed, and as Chromium draws them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from harness.report import model
from harness.report.charts.axes import HEIGHT, WIDTH
from harness.report.charts.labels import Box, Segment, free_box
from harness.report.model import Model
from harness.report.page import html
from harness.report.sections import cost, varied

MIDDLE = (WIDTH / 2, HEIGHT / 2)
WORDS = ("select-fdset", "stops at 1,019")
# Every letter of a chart's text against points a pixel apart on every line of that chart.
CROSSED = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('.figures svg.chart')) {
    const lines = [...chart.querySelectorAll('.mark-line path')];
    for (const text of chart.querySelectorAll('.mark-text text')) {
      if (text.textContent === '✕') continue;
      const box = text.getBoundingClientRect();
      for (const line of lines) {
        const matrix = line.getScreenCTM(), length = line.getTotalLength();
        for (let at = 0; at <= length; at++) {
          const p = line.getPointAtLength(at).matrixTransform(matrix);
          if (p.x > box.left && p.x < box.right && p.y > box.top + 2 && p.y < box.bottom - 2) {
            found.push(chart.closest('figure').id + ': ' + text.textContent);
            break;
          }
        }
      }
    }
  }
  return found;
}"""


def test_a_name_stands_beside_the_end_of_its_line_where_nothing_else_is() -> None:
    box = free_box(MIDDLE, WORDS, [(0, 0, *MIDDLE)], [])

    assert box is not None
    assert (box.align, (box.bottom + box.top) / 2) == ("left", MIDDLE[1])


def test_a_name_gives_way_to_lines_and_to_other_names() -> None:
    level = (0.0, MIDDLE[1], float(WIDTH), MIDDLE[1])
    first = free_box(MIDDLE, WORDS, [level], [])
    assert first is not None
    second = free_box(MIDDLE, WORDS, [level], [first])

    assert second is not None
    assert not first.is_crossed(level)
    assert not second.is_crossed(level)
    assert not second.touches(first)


def test_a_name_that_fits_nowhere_near_has_no_place_in_the_plot() -> None:
    comb = [(0.0, float(height), float(WIDTH), float(height)) for height in range(0, HEIGHT, 10)]

    assert free_box(MIDDLE, WORDS, comb, []) is None


PLACES = st.tuples(*[st.floats(-100, 100, width=32)] * 4)


@given(PLACES)
def test_a_line_crosses_a_box_where_one_of_its_points_is_inside(segment: Segment) -> None:
    box = Box(-30, -10, 30, 10, "left")
    x0, y0, x1, y1 = segment
    points = [(x0 + (x1 - x0) * i / 200, y0 + (y1 - y0) * i / 200) for i in range(201)]

    if any(-30 <= x <= 30 and -10 <= y <= 10 for x, y in points):
        assert box.is_crossed(segment)
    if not any(-35 <= x <= 35 and -15 <= y <= 15 for x, y in points):
        assert not box.is_crossed(segment)


def test_a_ceiling_ends_no_line_of_a_chart_whose_connections_it_holds(built: Model) -> None:
    analysis = built.analysis
    held = tuple(
        replace(cell, key=replace(cell.key, scenario="depth", depth=depth))
        for cell in analysis.cells
        if cell.key.scenario == "idle" and cell.key.connections == 1_000
        for depth in (4, 8, 16)
    )

    changed = replace(analysis, cells=(*analysis.cells, *held))
    drawn = [
        *cost.figures(changed, built.variants),
        *varied.figures(changed, built.variants),
    ]

    stops = {one.id: {s.variant for s in one.series if s.stop} for one in drawn if one.series}
    assert stops["fig-depth-efficiency"] == set()
    assert stops["fig-idle-cpu"] == {"select-fdset"}


@pytest.mark.browser
@pytest.mark.parametrize("seed", [1, 2])
def test_no_text_of_any_chart_lies_on_a_line(browser: Browser, tmp_path: Path, seed: int) -> None:
    head = synthetic.campaign(paced=True)
    built = model.build(head, synthetic.records(head, seed), synthetic.outcomes(head))
    path = tmp_path / "report.html"
    path.write_text(html.render(built))
    opened = browser.new_page(viewport={"width": 1260, "height": 800})
    opened.goto(path.as_uri())

    crossed = opened.evaluate(CROSSED)
    opened.close()

    assert crossed == []
