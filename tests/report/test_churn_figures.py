"""Churn: cycles and connect(), by FIN and by RST, where a campaign has them."""

from __future__ import annotations

import pytest
import synthetic

from harness.report import charts, model
from harness.report.model import Model


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
            assert [row[2] for row in table] == ["FIN", "RST"]
            values = [point.value for point in series.points]
            assert all(value in row for value, row in zip(values, table, strict=True))
            assert f">{' / '.join(values)}</text>" in charts.svg(figure)


def test_connect_is_timed_apart_from_the_cycle_that_it_begins(churned: Model) -> None:
    (cell,) = [
        cell
        for cell in churned.analysis.cells
        if (cell.variant, cell.key.closing) == ("epoll-lt", "fin")
    ]

    assert cell.connect_p50_us == 20.0
    assert cell.connect_p99_us is not None
    assert cell.latency_us is not None
    assert cell.connect_p50_us < cell.connect_p99_us.median < cell.latency_us.p99


def test_a_campaign_without_churn_has_no_chart_of_it(built: Model) -> None:
    assert [one.id for one in built.figures if "churn" in one.id] == []
