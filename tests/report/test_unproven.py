"""What a failed part of the self-test takes out of the report, and what stays in it."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
from typing import Any

import pytest
import synthetic

from harness.gates.generator_fitness import Part
from harness.report import draw, model
from harness.report.model import Model
from harness.report.page import html
from harness.report.text import report_formats, terminal_text

Head = dict[str, Any]
Lines = list[dict[str, Any]]
REASON = "Latencies are not shown: the generator failed its self-test (A stall: 7"
BATCHES = "read the cost together with the events per wake-up"


def attempt(after: int, *failed: Part) -> Head:
    checks = [
        {"verdict": "fail", "proves": part, "title": "A stall", "observed": "7"} for part in failed
    ]
    return {"after_block": after, "passed": not failed, "checks": checks, "duration_s": 18.2}


def campaign(*attempts: Head, trials: int = 3, state: str = "done", **options: Any) -> Model:
    """The toys, whose servers found two events at each wake-up, with those self-tests."""
    head = synthetic.campaign(trials=trials, state=state, **options)
    lines = copy.deepcopy(synthetic.records(head))
    for line in lines:
        if line.get("echoes_per_s"):
            line["server"]["counters"] = {"waits": 500, "events": 1_000, "bytes_in": 64_000}
    head["selftest"] = attempts[-1] | {"earlier": list(attempts[:-1])}
    return model.build(head, lines, synthetic.outcomes(head))


@pytest.fixture(scope="module")
def late() -> Model:
    """All that proves latency failed, and nothing else."""
    late = [attempt(after, "latency") for after in range(4)]
    return campaign(*late, paced=True, others=True)


@pytest.fixture(scope="module")
def fine() -> Model:
    return campaign(attempt(0), attempt(2), paced=True, others=True)


def width(row: str) -> int:
    """The columns that a table's row takes."""
    spans = re.findall(r'colspan="(\d+)"', row)
    return len(re.findall(r"<t[dh][ >]", row)) + sum(int(span) - 1 for span in spans)


def visible(page: str) -> str:
    page = re.sub(r'href="data:[^"]*"', "", page)  # cells.csv, which keeps its columns
    shown = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return shown[: shown.index('<div id="method">')]


def test_the_ranking_stands_where_only_latency_is_not_proven(late: Model, fine: Model) -> None:
    assert late.analysis.unranked is None
    for one, other in zip(late.analysis.rows, fine.analysis.rows, strict=True):
        assert (one.variant, one.rank) == (other.variant, other.rank)
        assert one.comparison == other.comparison
    assert late.verdict_lines == fine.verdict_lines


def test_every_format_hides_latencies_and_says_why_in_their_place(late: Model, fine: Model) -> None:
    told = {
        "html": lambda one: visible(html.render(one)),
        "text": terminal_text.render,
        "md": report_formats.markdown,
    }
    for kind, render in told.items():
        # Gates, which judge a record by its own latency, name the p99 of their bounds
        hidden = re.sub(r'<div id="checks">.*', "", render(late), flags=re.DOTALL)
        assert REASON in hidden, kind
        assert BATCHES in hidden, kind
        assert not re.search(r"p50|p99|self-delay", hidden), kind
        assert "wake-up" in hidden, kind
        shown = render(fine)
        assert REASON not in shown, kind
        assert "p99" in shown, kind


def test_events_per_wake_up_stand_next_to_the_cost_in_place_of_latencies(late: Model) -> None:
    rows = [row for group in late.groups for row in group.rows]
    assert {row.events for row in rows if row.tone == "ok"} == {"2.00"}
    page = html.render(late)
    more = page[page.index('id="ranked-more"') :].partition("</table>")[0]
    assert ">events/wake-up</a>" in more
    assert '<td class="n">2.00</td>' in more
    table = page[page.index('id="cells-poll"') :].partition("</table>")[0]
    assert "/wake-up" in table
    assert {width(row) for row in table.split("</tr>")[:-1]} == {13}
    assert "events/wake-up" in terminal_text.render(late)


def test_no_chart_of_latencies_is_drawn(late: Model, fine: Model) -> None:
    kinds = {figure.kind for figure in fine.figures}
    assert {"latency", "percentiles", "load"} <= kinds
    left = {figure.id: figure.kind for figure in late.figures}
    assert not {"latency", "percentiles", "load"} & set(left.values())
    assert "fig-churn-connect" not in left
    assert "fig-churn-efficiency" in left


def test_the_data_has_the_reason_and_no_latency(late: Model, fine: Model) -> None:
    document = json.loads(draw.as_json(report_formats.document(late)))
    columns = document["data"]["cells"]["columns"]
    assert document["no_latency"] == late.no_latency
    assert document["not_ranked"] is None
    assert not [name for name in columns if "latency" in name or "p99" in name or "p50" in name]
    assert "events_per_wake_up" in columns

    document = report_formats.document(fine)
    assert document["no_latency"] is None
    assert "latency_us.p99" in document["data"]["cells"]["columns"]


def test_cells_as_csv_keep_their_columns_with_nothing_in_those_of_latencies(late: Model) -> None:
    rows = list(csv.DictReader(io.StringIO(html.cells_csv(late))))

    assert any(row["efficiency_mean"] for row in rows)
    assert {row["p50_us"] + row["p99_us"] for row in rows} == {""}


def test_latencies_are_of_the_blocks_that_are_vouched_for() -> None:
    found = campaign(attempt(0, "latency"), attempt(1, "latency"), attempt(2))
    whole = campaign(attempt(0), attempt(2))
    cells = zip(found.analysis.cells, whole.analysis.cells, strict=True)
    counts = {
        (one.latency_us.count, other.latency_us.count)
        for one, other in cells
        if one.latency_us and other.latency_us
    }

    assert found.no_latency == ""
    assert {part / of for part, of in counts} == {2 / 3}
    assert "block 1 has no latencies:" in found.validity.text


def test_a_block_that_nothing_vouches_for_is_shown_and_in_no_figure() -> None:
    found = campaign(attempt(0, "ranking"), attempt(1, "ranking"), attempt(2), attempt(4), trials=4)

    assert found.analysis.unranked is None
    best = next(row for row in found.analysis.rows if row.is_best)
    assert best.cell is not None
    assert best.cell.efficiency is not None
    assert set(best.cell.efficiency.by_block) == {2, 3, 4}
    assert best.cell.counts == (("valid", 3), ("unproven", 1))
    assert "no passed self-test next to their block" in found.validity.text
    words = next(row.words for group in found.groups for row in group.rows)
    assert words.startswith("unproven in 1 of 4 trials: no passed self-test is next to block 1")
    assert 'class="l valid">valid</td><td class="l">3 valid, 1 unproven' in html.render(found)


def test_too_few_blocks_that_are_vouched_for_rank_nobody_with_the_reason() -> None:
    found = campaign(attempt(0, "ranking"), attempt(1, "ranking"), attempt(2))

    assert found.analysis.unranked is not None
    assert found.analysis.unranked.code == "selftest"
    assert "no passed self-test is next to block 1" in found.validity.text
    assert "c10k selftest" in found.validity.text


def test_without_any_block_the_figures_stay_and_none_of_them_ranks() -> None:
    found = campaign(*(attempt(after, "ranking") for after in range(4)))

    assert found.validity.statement.startswith("Not ranked: the generator failed its self-test (A")
    assert {cell.count("unproven") for cell in found.analysis.cells} == {0}
    assert any(cell.efficiency for cell in found.analysis.cells)
    assert found.no_latency == ""


def test_a_stopped_campaign_says_why_and_how_it_goes_on() -> None:
    head = synthetic.campaign(state="stopped") | {"selftest": attempt(0, "ranking")}
    page = html.render(model.build(head, [], []))

    assert "The campaign was stopped: its load generator failed the self-test." in page
    assert "Not ranked" in page
    assert "the generator failed its self-test (A stall: 7" in page
    assert "c10k run --resume 20260301-140200-quick" in page


def test_each_self_test_is_listed_with_what_became_of_its_parts(late: Model) -> None:
    page = html.render(late)
    listed = page[page.index('<h3 id="self-tests">') :].partition("</table>")[0]

    assert "at the start" in listed
    assert "after block 3" in listed
    assert "18 s" in listed
    assert listed.count("A stall: 7") == 4
