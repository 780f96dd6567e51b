"""What the page and its embedded data weigh for a large campaign."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import synthetic

from harness.report import model
from harness.report.model import Model
from harness.report.page import html
from harness.report.plain_data import data, rounded

PAGE_BYTES_MAX = 1_000_000
# Charts and tables grow with the report: of the page, the data may take a sixth.
DATA_BYTES_MAX = 165_000
# 3 cells each: 39 cells per trial.
CONNECTIONS = (100, 200, 300, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000)


def twice(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every line, and the same of a second variant."""
    named = ("name", "variant", "trial", "id")
    copies = [
        {key: f"{value}-b" if key in named else value for key, value in line.items()}
        for line in lines
    ]
    return [*lines, *copies]


@pytest.fixture(scope="module")
def large() -> Model:
    head = synthetic.campaign(trials=10, connections=CONNECTIONS)
    records = twice(synthetic.records(head))
    head |= {"variants": twice(head["variants"]), "plan": twice(head["plan"])}
    return model.build(head, records, synthetic.outcomes(head))


def cells(known: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows, with the names of their columns."""
    table = known["cells"]
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


@pytest.mark.slow
def test_twelve_servers_ten_trials_and_forty_cells_fit_in_a_megabyte(large: Model) -> None:
    assert len(large.cells) == 12 * 3 * len(CONNECTIONS)
    assert len(json.dumps(data(large), separators=(",", ":"))) <= DATA_BYTES_MAX
    assert len(html.render(large).encode()) <= PAGE_BYTES_MAX


def test_the_data_has_the_figures_of_each_cell_and_of_its_comparison(built: Model) -> None:
    known = data(built)
    found = {(cell["variant"], cell["key"]): cell for cell in cells(known)}
    cell = built.analysis.cell("poll", built.analysis.headline.key)
    assert cell is not None
    assert cell.efficiency is not None
    assert cell.efficiency.interval is not None
    contrast = built.analysis.contrast("poll", cell.key)
    assert contrast is not None

    place = known["keys"].index(known["headline"]["key"])
    poll, best = found["poll", place], found[contrast.best, place]

    interval = cell.efficiency.interval
    expected = [cell.efficiency.mean, interval.low, interval.high]
    assert poll["efficiency"] == pytest.approx(expected, rel=1e-4)
    assert poll["against_best.ratio"] == pytest.approx(contrast.comparison.ratio, rel=1e-4)
    assert best["against_best.ratio"] is None


def test_the_course_of_the_ramp_is_kept_where_it_is_drawn(built: Model) -> None:
    known = data(built)
    timed = {
        known["keys"][cell["key"]]["connections"] for cell in cells(known) if cell["ramp.timeline"]
    }

    assert timed == {10_000}


@pytest.mark.parametrize(
    ("value", "short"),
    [(0.0, 0), (201_234.5678, 201_230), (0.000123456, 0.00012346), (-1.0, -1), (math.inf, None)],
)
def test_a_number_is_written_with_five_digits(value: float, short: float | None) -> None:
    assert rounded(value) == short
