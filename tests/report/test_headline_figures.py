"""The charts of the headline's cells draw what the records say."""

from __future__ import annotations

import copy
import math
import re
import statistics
from typing import Any

import pytest
import synthetic

from harness.report import model
from harness.report.charts import draw_svg, ratio_rows
from harness.report.charts.figure_data import Figure
from harness.report.model import Model
from harness.report.page import html, sparklines
from harness.report.sections.anchors import anchor

Lines = list[dict[str, Any]]
HEADLINE = ("idle", 10_000)


def figure(built: Model, name: str) -> Figure:
    (found,) = (one for one in built.figures if one.id == name)
    return found


def at_headline(records: Lines, variant: str) -> Lines:
    return [
        line
        for line in records
        if line["variant"] == variant
        and (line["scenario"], line["connections_requested"]) == HEADLINE
    ]


def efficiency(line: dict[str, Any]) -> float:
    return float(line["echoes"] / line["server"]["cpu_ns"] * 1e9)


def test_a_dot_is_the_ratio_of_one_block_and_the_mark_their_mean(
    built: Model, records: Lines
) -> None:
    drawn = figure(built, "fig-slower")
    best = next(row.variant for row in built.analysis.rows if row.is_best)
    poll = next(series for series in drawn.series if series.variant == "poll")

    pairs = zip(at_headline(records, best), at_headline(records, "poll"), strict=True)
    ratios = {one["block"]: efficiency(one) / efficiency(other) for one, other in pairs}

    mean, *trials = poll.points
    assert {int(point.x): point.y for point in trials} == pytest.approx(ratios)
    assert mean.y == pytest.approx(math.exp(statistics.fmean(map(math.log, ratios.values()))))
    assert best not in {series.variant for series in drawn.series}
    dots = re.findall(r'<g class="mark-symbol[^>]*>(.*?)</g>', draw_svg.svg(drawn))
    assert sum(group.count("<path") for group in dots) == 3 * len(drawn.series)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.97, 1.06, (0.96, 0.98, 1.0, 1.02, 1.04, 1.06)),
        (1.2, 1.6, (1.0, 1.2, 1.4, 1.6)),
        (1.0, 4.4, (1.0, 1.5, 2.0, 3.0, 5.0)),
        (0.95, 90.0, (0.7, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)),
        (1.0, 1.0, (1.0, 1.01)),
    ],
)
def test_an_axis_of_ratios_has_one_on_it_and_few_ticks(
    low: float, high: float, ticks: tuple[float, ...]
) -> None:
    assert ratio_rows.axis_of(low, high).ticks == pytest.approx(ticks)


def test_the_modes_of_a_bar_add_up_to_the_cpu_time_of_an_echo(built: Model) -> None:
    drawn = figure(built, "fig-modes")
    cells = {
        cell.variant: cell
        for cell in built.analysis.cells
        if cell.key == built.analysis.headline.key
    }

    assert len(drawn.bars) == 5
    for bar in drawn.bars:
        cell = cells[bar.variant]
        assert cell.cpu_us_per_echo is not None
        assert sum(size for _, size in bar.parts) == pytest.approx(cell.cpu_us_per_echo.mean)
        assert dict(bar.parts)["user"] == pytest.approx(
            (cell.user_share or 0) * cell.cpu_us_per_echo.mean
        )
    assert [kind for kind, _ in drawn.kinds] == ["user", "system"]  # the toys have no softirq


def with_xrays(head: dict[str, Any], records: Lines, calls: dict[str, int]) -> Model:
    xray = {"variant": "poll", "connections_requested": 10_000, "payload_bytes": 64}
    xray |= {"tool": "perf", "echoes": 100, "syscalls": calls}
    lines = copy.deepcopy(records)
    for line in at_headline(lines, "poll"):
        line["server"]["counters"] = {"waits": 50, "events": 1_000, "bytes_in": 64_000}
    return model.build(head | {"xray": [xray]}, lines, synthetic.outcomes(head))


def test_calls_that_move_data_are_the_x_ray_s_and_waits_the_cell_s(
    head: dict[str, Any], records: Lines
) -> None:
    calls = {"recvfrom": 200, "sendto": 100, "poll": 90, "futex": 7}

    drawn = figure(with_xrays(head, records, calls), "fig-calls")

    (bar,) = drawn.bars
    assert dict(bar.parts) == pytest.approx({"recvfrom": 2.0, "sendto": 1.0, "poll": 0.05})
    assert bar.label == "3.05"
    assert ">3.05</text>" in draw_svg.svg(drawn)


def test_rare_calls_share_one_part_and_the_table_names_all(
    head: dict[str, Any], records: Lines
) -> None:
    calls = {f"call{place}": 1_000 - 100 * place for place in range(10)}

    drawn = figure(with_xrays(head, records, calls), "fig-calls")

    (bar,) = drawn.bars
    assert [name for name, _ in bar.parts] == [*(f"call{place}" for place in range(7)), "others"]
    assert bar.parts[-1][1] == pytest.approx(3 + 2 + 1)
    assert set(calls) <= set(drawn.header)


def test_without_an_x_ray_there_is_no_chart_of_calls(built: Model) -> None:
    assert "fig-calls" not in {one.id for one in built.figures}


def test_a_strip_has_each_tenth_relative_to_the_server_s_mean(built: Model, records: Lines) -> None:
    drawn = figure(built, "fig-over-time")
    poll = next(series for series in drawn.series if series.variant == "poll")

    rates = [line["parts_per_s"] for line in at_headline(records, "poll")]
    mean = statistics.fmean(statistics.fmean(one) for one in rates)

    assert [point.y for point in poll.points] == pytest.approx(
        [rate / mean for one in rates for rate in one]
    )
    assert [point.segment for point in poll.points] == [0] * 10 + [1] * 10 + [2] * 10
    assert drawn.spans == ("1", "2", "3")
    image = draw_svg.svg(drawn)
    assert all(f">{series.variant}</text>" in image for series in drawn.series)


def test_records_of_old_campaigns_without_tenths_have_neither_strips_nor_sparklines(
    head: dict[str, Any], records: Lines
) -> None:
    lines = [{key: value for key, value in one.items() if key != "parts_per_s"} for one in records]

    built = model.build(head, lines, synthetic.outcomes(head))

    assert "fig-over-time" not in {one.id for one in built.figures}
    assert 'class="spark"' not in html.render(built)


def test_the_least_even_noisy_window_is_drawn_beside_its_cell(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    for line, dip in zip(at_headline(lines, "poll"), (0.9, 0.8, 0.0), strict=True):
        rate = line["echoes_per_s"]
        line["host"] = {"steal_ticks": 1}
        line["tcp"] = line["tcp"] | {"softnet_dropped": 1}  # noisy
        line["parts_per_s"] = [rate] * 9 + [rate * dip] if dip else None
    built = model.build(head, lines, synthetic.outcomes(head))

    found = sparklines.of_cells(built.analysis.cells)

    (cell,) = (
        one for one in built.analysis.cells if one.variant == "poll" and one.status == "noisy"
    )
    assert list(found) == [anchor(cell)]
    assert "block 2: −18.4 % to +2.0 %" in found[anchor(cell)]
    page = html.render(built)
    row = page[page.index(f'id="{anchor(cell)}"') :]
    assert row.index('class="spark"') < row.index("</tr>")


def test_the_distribution_is_that_of_the_merged_histograms(built: Model) -> None:
    drawn = figure(built, "fig-distribution")
    rows = {row[0]: row for row in drawn.rows}
    cell = built.analysis.cell("poll", built.analysis.headline.key)
    assert cell is not None
    assert cell.latency_us is not None

    poll = next(series for series in drawn.series if series.variant == "poll")
    values = [point.y for point in poll.points]
    assert values == sorted(values)
    at_99 = next(point.y for point in poll.points if point.x == pytest.approx(100))
    assert at_99 == pytest.approx(cell.latency_us.p99 / 1e3)
    assert max(point.x for point in poll.points) <= 1e4 * (1 + 1e-9)
    assert rows["poll"][-1] == f"{cell.latency_us.count:,}"


def test_a_rate_that_the_host_cannot_offer_is_out_of_reach_and_not_rejected() -> None:
    head = synthetic.campaign(paced=True)
    built = model.build(head, synthetic.records(head), synthetic.outcomes(head))
    drawn = figure(built, "fig-rising-1000")
    poll = next(series for series in drawn.series if series.variant == "poll")
    paced = [
        cell for cell in built.analysis.cells if cell.variant == "poll" and cell.key.is_open_loop
    ]
    reached = [cell.offered_per_s for cell in paced if cell.latency_us]
    others = [cell.offered_per_s for cell in paced if not cell.latency_us]

    assert [point.x for point in poll.points] == sorted(one for one in reached if one)
    assert [point.x for point in poll.beyond] == sorted(one for one in others if one)
    assert len(poll.points) == 4  # the common rate, and three shares
    rows = [row for row in drawn.rows if row[0] == "poll"]
    assert [row[-1] for row in rows].count("out of reach") == len(others) == 1
    assert not any("rejected" in row[-1] for row in rows)
    words = {row.status for row in built.cells if row.variant == "poll" and "paced" in row.what}
    assert "out of reach" in words
    assert "rejected" not in words
    image = draw_svg.svg(drawn)
    assert image.count('fill="var(--bg)"') == len(drawn.series)
    assert 'stroke-dasharray="3,4"' in image
