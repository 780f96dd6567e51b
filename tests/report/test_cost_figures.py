"""The cost of an echo over connections: the chart draws the cells, its title what they show."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import synthetic

from harness.analysis import slopes
from harness.analysis.findings import Name
from harness.analysis.intervals import Interval, Outcome
from harness.analysis.slopes import Slope
from harness.report import model
from harness.report.charts import draw_svg
from harness.report.charts.figure_data import Figure
from harness.report.model import Model
from harness.report.sections import cost


def figure(built: Model, name: str) -> Figure:
    (found,) = (one for one in built.figures if one.id == name)
    return found


def slope(us: float, low: float, high: float, outcome: Outcome = "different") -> Slope:
    return Slope(us, Interval(low, high), 0.99, outcome, 100, 10_000, 8)


def test_the_lines_are_the_cells_figures_and_the_axes_are_linear_from_zero(built: Model) -> None:
    drawn = figure(built, "fig-idle-cpu")
    cells = [cell for cell in built.analysis.cells if cell.key.scenario == "idle"]
    known = {
        (cell.variant, cell.key.connections): cell.cpu_us_per_echo.mean
        for cell in cells
        if cell.cpu_us_per_echo
    }

    points = {
        (series.variant, int(point.x)): point.y
        for series in drawn.series
        for point in series.points
    }
    assert points == known
    for axis in draw_svg.scales(drawn):
        assert (axis.low, axis.is_log) == (0.0, False)


def test_the_title_names_who_pays_and_who_does_not_with_the_intervals() -> None:
    found = {
        "select": slope(2.85, 2.05, 3.65),
        "poll": slope(2.67, 1.73, 3.61),
        "epoll-lt": slope(0.01, -0.06, 0.09, "inconclusive"),
        "epoll-et": slope(0.001, -0.05, 0.05, "equivalent"),
        "threads": slope(0.05, -0.1, 0.19, "inconclusive"),
    }

    told = cost.statement(found, "idle connections")

    assert told is not None
    assert told.text == (
        "Each 1,000 idle connections cost select 2.9 µs (2.0–3.6) and poll 2.7 µs (1.7–3.6) of CPU "
        "per echo; epoll-et, epoll-lt and 1 other nothing measurable (≤ 0.19 µs)"
    )


@pytest.mark.parametrize(
    ("others", "ending"),
    [
        ({"wide": slope(1.5, -1.0, 4.0, "inconclusive")}, "; not settled for wide"),
        ({"small": slope(0.02, 0.01, 0.03, "equivalent")}, "; small at most 0.030 µs"),
        (
            {"b": slope(1.9, 1.8, 2.0), "c": slope(1.8, 1.7, 1.9)},
            " and 1 other less of CPU per echo",
        ),
        ({}, " of CPU per echo"),
    ],
)
def test_what_no_interval_shows_is_said_not_to_be_settled(
    others: dict[str, Slope], ending: str
) -> None:
    told = cost.statement({"poll": slope(2.0, 1.8, 2.2), **others}, "connections")

    assert told is not None
    assert told.text.endswith(ending)
    assert "nothing measurable" not in told.text


def test_without_a_server_that_pays_the_title_says_nothing() -> None:
    assert cost.statement({"epoll": slope(0.01, -0.1, 0.1, "equivalent")}, "connections") is None
    assert cost.statement({}, "connections") is None


def test_each_server_s_slope_is_in_the_table(built: Model) -> None:
    drawn = figure(built, "fig-idle-cpu")
    rows = {row[0]: row for row in drawn.rows}

    assert drawn.header[-2:] == ("µs per 1,000 more", "interval")
    assert float(rows["poll"][-2]) == pytest.approx(2.0, rel=0.05)
    assert re.fullmatch(r"−?[\d.]+ to −?[\d.]+", rows["epoll-lt"][-1])
    assert rows["select-fdset"][-3] == "—"  # at 10,000


def test_texts_of_a_chart_keep_their_digits(built: Model) -> None:
    """Coordinates are rounded to a tenth of a pixel; the words next to a bar are not."""
    drawn = figure(built, "fig-memory")

    image = draw_svg.svg(drawn)

    assert all(f">{bar.label}</text>" in image for bar in drawn.bars)


def test_a_server_that_does_not_conform_is_drawn_and_has_no_slope(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    failed = {"failures": [{"check": "T5", "text": "it broke"}]}
    variants = [
        one | ({"conformance": failed} if one["name"] == "poll" else {}) for one in head["variants"]
    ]

    built = model.build(head | {"variants": variants}, records, synthetic.outcomes(head))

    drawn = figure(built, "fig-idle-cpu")
    rows = {row[0]: row for row in drawn.rows}
    assert rows["poll"][-2:] == ("—", "—")
    assert "poll" in {series.variant for series in drawn.series}
    assert drawn.statement is not None
    assert Name("poll") not in drawn.statement.parts


def test_what_is_settled_is_not_called_unsettled() -> None:
    found = {
        "poll": slope(2.0, 0.05, 3.95),
        "falls": slope(-1.0, -1.5, -0.5),
        "dear": slope(0.04, -0.02, 0.1, "equivalent"),
        "open": slope(1.0, -0.5, 2.5, "inconclusive"),
    }

    told = cost.statement(found, "idle connections")

    assert told is not None
    assert told.parts[-2:] == ("; not settled for ", Name("open"))


def test_one_line_has_one_traffic(built: Model) -> None:
    cells = [cell for cell in built.analysis.cells if cell.key.scenario == "idle"]
    others = [
        replace(cell, key=replace(cell.key, active=10))
        for cell in cells
        if cell.key.connections == 10_000
    ]

    assert slopes.alike([*others, *cells]) == slopes.alike([*cells, *others]) == cells
    assert slopes.alike([]) == []
