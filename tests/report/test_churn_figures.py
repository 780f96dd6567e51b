"""Churn: cycles and connect(), by FIN and by RST, where a campaign has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic

from harness.report import model
from harness.report.charts import draw_svg
from harness.report.model import Model

LARGER = 16_384
LARGER_CHURN = ("churn", LARGER)


@pytest.fixture(scope="module")
def churned() -> Model:
    head = synthetic.campaign(connections=(100, 1_000), others=True)
    return model.build(head, synthetic.records(head), synthetic.outcomes(head))


def test_cycles_and_connect_have_a_chart_with_both_closings_and_a_table(churned: Model) -> None:
    drawn = {one.id: one for one in churned.figures if one.id.startswith("fig-churn")}

    assert list(drawn) == ["fig-churn-efficiency", "fig-churn-connect"]
    for figure in drawn.values():
        assert figure.levels == ("FIN", "RST")
        assert len(figure.rows) == 2 * len(figure.series) == 12
        assert all(point.low is not None for one in figure.series for point in one.points)
        for series in figure.series:
            table = [row for row in figure.rows if row[0] == series.variant]
            assert [row[3] for row in table] == ["FIN", "RST"]
            values = [point.value for point in series.points]
            assert all(value in row for value, row in zip(values, table, strict=True))
            assert f">{' / '.join(values)}</text>" in draw_svg.svg(figure)


def test_of_several_sizes_the_smallest_is_drawn_and_told_and_the_table_has_all() -> None:
    head = synthetic.campaign(connections=(100, 1_000), others=True)
    cells = head["plan"][0]["steps"][1]["cells"]  # all trials share them
    churn = [cell for cell in cells if cell["scenario"] == "churn"]
    cells += [cell | {"payload_bytes": LARGER} for cell in churn]
    lines = synthetic.records(head)
    smallest = [line for line in lines if (line["scenario"], line["payload_bytes"]) != LARGER_CHURN]

    several, alone = (
        [one for one in model.build(head, own, []).figures if one.id.startswith("fig-churn")]
        for own in (lines, smallest)
    )

    assert [replace(one, rows=()) for one in several] == [replace(one, rows=()) for one in alone]
    for figure, drawn in zip(several, alone, strict=True):
        assert "one echo of 64 B" in figure.subtitle
        sizes = [row[2] for row in figure.rows]
        assert sizes.count("64") == sizes.count("16,384") == len(drawn.rows) == 12
        assert set(drawn.rows) < set(figure.rows)


def test_connect_is_timed_apart_from_the_cycle_that_it_begins(churned: Model) -> None:
    (cell,) = [
        cell
        for cell in churned.analysis.cells
        if (cell.variant, cell.key.closing) == ("epoll-lt", "fin")
    ]

    assert cell.connect_p50_us == 20.0
    assert cell.connect_p99_us is not None
    assert cell.latency_us is not None
    assert cell.connect_p50_us < cell.connect_p99_us.mean < cell.latency_us.p99


def test_a_campaign_without_churn_has_no_chart_of_it(built: Model) -> None:
    assert [one.id for one in built.figures if "churn" in one.id] == []
