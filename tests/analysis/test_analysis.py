"""Trials in, aggregates and ranks out: what counts, what does not, and what is never ranked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import synthetic

from harness.analysis import Analysis, analyse, findings
from harness.analysis.results import Cell, CellKey
from harness.engine import histogram

HEADLINE = CellKey("idle", 10_000, 100, 64, 1, None)
Lines = list[dict[str, Any]]


def analysed(head: dict[str, Any], lines: Lines, outcomes: Lines | None = None) -> Analysis:
    return analyse(head, lines, synthetic.outcomes(head) if outcomes is None else outcomes)


def cell_of(analysis: Analysis, variant: str, key: CellKey = HEADLINE) -> Cell:
    found = analysis.cell(variant, key)
    assert found is not None
    return found


def matching(lines: Lines, **wanted: Any) -> Lines:
    return [line for line in lines if all(line.get(k) == v for k, v in wanted.items())]


def at_headline(lines: Lines, variant: str) -> Lines:
    return matching(lines, variant=variant, scenario="idle", connections_requested=10_000)


def with_rates(lines: Lines, variant: str, per_cpu_s: list[float]) -> None:
    """Set the headline figure of each block: echoes per second of server CPU."""
    for line, value in zip(at_headline(lines, variant), per_cpu_s, strict=True):
        line["server"]["cpu_ns"] = round(line["echoes"] / value * 1e9)


def ranks(analysis: Analysis) -> dict[str, str]:
    return {row.variant: row.rank for row in analysis.rows}


def test_the_headline_figure_is_echoes_over_the_run_time_of_the_server(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    with_rates(lines, "poll", [40_000.0, 30_000.0, 50_000.0])

    found = cell_of(analysed(head, lines), "poll")

    assert found.efficiency is not None
    assert found.efficiency.mean == pytest.approx((40e3 * 30e3 * 50e3) ** (1 / 3), rel=1e-6)
    assert found.efficiency.blocks[1] == (2, pytest.approx(30_000.0, rel=1e-6))
    assert found.cpu_us_per_echo is not None
    assert found.cpu_us_per_echo.mean == pytest.approx(1e6 / found.efficiency.mean, rel=1e-6)


def test_the_run_time_counts_over_the_interval_in_which_it_was_read(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    for line in at_headline(lines, "poll"):
        line["server"] |= {"cpu_ns": 1_000_000_000, "interval_ns": 2_000_000_000}

    found = cell_of(analysed(head, lines), "poll")

    assert found.rate is not None
    assert found.efficiency is not None
    assert found.efficiency.mean == pytest.approx(found.rate.mean / 0.5)


def test_a_winner_a_tie_and_the_order_below_are_ranked() -> None:
    head = synthetic.campaign(trials=5)
    lines = synthetic.records(head)
    with_rates(lines, "epoll-lt", [150e3, 151e3, 149e3, 150e3, 150e3])
    with_rates(lines, "epoll-et", [149e3, 150e3, 148e3, 149e3, 149e3])
    with_rates(lines, "thread-per-connection", [100e3, 101e3, 99e3, 100e3, 100e3])
    with_rates(lines, "select", [40e3, 40.5e3, 39.8e3, 40e3, 40e3])
    with_rates(lines, "poll", [38e3, 41e3, 39e3, 39e3, 41e3])

    analysis = analysed(head, lines)

    assert ranks(analysis) == {
        "epoll-lt": "1=",
        "epoll-et": "1=",
        "thread-per-connection": "3",
        "poll": "4–5",
        "select": "4–5",
        "select-fdset": "—",
    }
    rows = {row.variant: row for row in analysis.rows}
    thread = rows["thread-per-connection"]
    assert thread.comparison is not None
    assert thread.comparison.ratio == pytest.approx(1.5, rel=1e-3)
    assert thread.comparison.outcome == "different"
    assert (thread.places, thread.is_settled, thread.blocks_to_settle) == ((3, 3), True, None)
    assert (rows["poll"].places, rows["poll"].is_settled) == ((4, 5), False)


def test_what_is_not_settled_has_a_range_of_places(head: dict[str, Any], records: Lines) -> None:
    lines = copy.deepcopy(records)
    with_rates(lines, "epoll-lt", [150e3, 151e3, 149e3])
    with_rates(lines, "thread-per-connection", [90e3, 160e3, 130e3])

    row = next(r for r in analysed(head, lines).rows if r.variant == "thread-per-connection")

    assert row.comparison is not None
    assert row.comparison.outcome == "inconclusive"
    assert row.places is not None
    assert row.places[0] == 1
    assert row.rank == f"1–{row.places[1]}"


def test_a_void_trial_is_in_no_figure_and_takes_the_rank_with_it(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    with_rates(lines, "poll", [40e3, 41e3, 400e3])
    at_headline(lines, "poll")[2]["lost"] = 1

    analysis = analysed(head, lines)

    found = cell_of(analysis, "poll")
    assert found.efficiency is not None
    assert found.efficiency.mean == pytest.approx((40e3 * 41e3) ** 0.5, rel=1e-6)
    assert (found.status, found.count("void"), found.count("valid")) == ("valid", 1, 2)
    assert ranks(analysis)["poll"] == "—"
    assert analysis.ranked_void


def test_a_noisy_trial_counts_and_is_flagged(head: dict[str, Any], records: Lines) -> None:
    lines = copy.deepcopy(records)
    at_headline(lines, "poll")[0]["tcp"]["RetransSegs"] = 3

    analysis = analysed(head, lines)

    found = cell_of(analysis, "poll")
    assert found.status == "noisy"
    assert found.efficiency is not None
    assert len(found.efficiency.blocks) == 3
    assert ranks(analysis)["poll"] != "—"
    assert not analysis.ranked_void


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"connections": (100, 1_000)},
            "the plan has no idle cell with 10,000 connections, 100 of them active",
        ),
        ({"trials": 2}, "ranking needs 3 trials, the plan has 2"),
    ],
)
def test_a_campaign_without_the_headline_ranks_nothing(changes: dict[str, Any], why: str) -> None:
    head = synthetic.campaign(**changes)
    analysis = analysed(head, synthetic.records(head))

    assert (analysis.headline.is_ranked, analysis.headline.why_not) == (False, why)
    assert set(ranks(analysis).values()) == {"—"}
    assert not any(row.comparison for row in analysis.rows)
    assert analysis.contrasts == ()


def test_a_profile_that_says_so_is_never_ranked(head: dict[str, Any], records: Lines) -> None:
    smoke = head | {"profile": head["profile"] | {"name": "smoke", "ranked": False}}

    assert set(ranks(analysed(smoke, records)).values()) == {"—"}


def test_a_generator_that_failed_its_self_test_ranks_nobody(
    head: dict[str, Any], records: Lines
) -> None:
    proof = {"passed": False, "checks": [{"verdict": "fail", "title": "T", "observed": "7"}]}
    unproved = analysed(head | {"selftest": proof}, records)

    assert set(ranks(unproved).values()) == {"—"}
    assert "the generator failed its self-test (T: 7" in unproved.headline.why_not
    verdict = findings.verdict(findings.find(head, unproved))
    assert verdict[0].text == "No server is ranked."
    assert ranks(analysed(head | {"selftest": {"passed": True}}, records)) == ranks(
        analysed(head, records)
    )


def test_the_largest_idle_cell_is_shown_where_the_headline_was_not_planned() -> None:
    head = synthetic.campaign(connections=(100, 1_000))

    assert analysed(head, []).headline.key == CellKey("idle", 1_000, 100, 64, 1, None)


def test_an_experimental_variant_is_never_ranked(head: dict[str, Any], records: Lines) -> None:
    changed = copy.deepcopy(head)
    changed["variants"][1]["status"] = "experimental"

    analysis = analysed(changed, records)

    row = next(row for row in analysis.rows if row.variant == "epoll-lt")
    assert (row.rank, row.note) == ("—", "experimental: never ranked")
    assert ranks(analysis)["epoll-et"] == "1"


def test_variants_of_different_width_are_ranked_apart(head: dict[str, Any], records: Lines) -> None:
    changed = copy.deepcopy(head)
    for variant in changed["variants"][:2]:
        variant["workers"] = 2

    groups = analysed(changed, records).groups

    assert [group.workers for group in groups] == ["1", "2"]
    assert {row.variant for row in groups[1].rows} == {"epoll-et", "epoll-lt"}
    assert [sum(row.is_best for row in group.rows) for group in groups] == [1, 1]


def test_a_ceiling_is_a_result_in_every_cell_beyond_it(
    head: dict[str, Any], records: Lines
) -> None:
    analysis = analysed(head, records)

    ramp = cell_of(analysis, "select-fdset", CellKey("ramp", 10_000, 0, 64, 1, None))
    idle = cell_of(analysis, "select-fdset")
    row = next(row for row in analysis.rows if row.variant == "select-fdset")
    assert (ramp.status, ramp.held, idle.status, idle.efficiency) == (
        "capped",
        1_019,
        "capped",
        None,
    )
    assert (row.rank, row.held) == ("—", 1_019)
    assert not analysis.ranked_void


def test_the_last_attempt_that_ended_is_the_one_that_counts(
    head: dict[str, Any], records: Lines
) -> None:
    """Attempt 1 was cut short; attempt 2 ended; attempt 3 of another trial is on its way."""
    lines = copy.deepcopy(records)
    again = copy.deepcopy(matching(lines, trial="1-poll"))
    with_rates(again, "poll", [77e3])
    running = copy.deepcopy(matching(lines, trial="2-poll"))
    with_rates(running, "poll", [99e3])
    lines += [line | {"attempt": 2} for line in again]
    lines += [line | {"attempt": 2} for line in running]
    outcomes = synthetic.outcomes(head)
    next(line for line in outcomes if line["trial"] == "1-poll")["attempt"] = 2

    analysis = analysed(head, lines, outcomes)

    blocks = cell_of(analysis, "poll").efficiency
    assert blocks is not None
    assert blocks.by_block[1] == pytest.approx(77e3, rel=1e-6)
    assert blocks.by_block[2] != pytest.approx(99e3, rel=0.1)
    assert analysis.superseded == len(again) + len(running)


def test_a_repeated_line_of_a_cell_counts_once(head: dict[str, Any], records: Lines) -> None:
    found = cell_of(analysed(head, [*records, *at_headline(records, "poll")]), "poll")

    assert found.count("valid") == 3


def test_what_was_not_measured_says_why(head: dict[str, Any], records: Lines) -> None:
    lines = [line for line in records if line["trial"] != "2-poll"]
    outcomes = synthetic.outcomes(head)
    failed = next(line for line in outcomes if line["trial"] == "2-poll")
    failed |= {"outcome": "failed", "code": "not-ready", "text": "no echo within 10 s"}

    found = cell_of(analysed(head, lines, outcomes), "poll")

    assert found.count("missing") == 1
    assert found.reasons[0].text == "the trial failed before it: no echo within 10 s"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("running", "not measured yet"),
        ("interrupted", "the campaign was interrupted before it"),
        ("done", "no record of it"),
    ],
)
def test_cells_of_trials_to_come_are_missing_with_the_state(state: str, text: str) -> None:
    head = synthetic.campaign(state=state)
    analysis = analysed(head, [], [])

    assert {cell.status for cell in analysis.cells} == {"missing"}
    assert {reason.text for cell in analysis.cells for reason in cell.reasons} == {text}


def test_percentiles_come_from_merged_histograms_and_never_from_averages(
    head: dict[str, Any], records: Lines
) -> None:
    """Two trials of 1,000 values at 100 µs, one of 1,000 at 10 ms: p50 and p99 of all 3,000."""
    lines = copy.deepcopy(records)
    for line, value_us in zip(at_headline(lines, "poll"), (100, 100, 10_000), strict=True):
        one = histogram.merge([])
        one.record_value(value_us, 1_000)
        line["histogram"] = histogram.encode(one)

    found = cell_of(analysed(head, lines), "poll").latency_us

    assert found is not None
    assert found.p50 == pytest.approx(100, rel=1e-3)
    assert found.p99 == pytest.approx(10_000, rel=1e-3)
    assert (found.count, found.p999) == (3_000, None)


def test_memory_per_connection_is_what_came_on_top_of_the_idle_server(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    for line in at_headline(lines, "poll"):
        line["server"]["memory_baseline_bytes"] = {"user": 1_000, "stack": 5, "kernel": 7_000}
        line["server"]["memory_bytes"] = {"user": 5_121_000, "stack": 5, "kernel": 40_967_000}

    found = cell_of(analysed(head, lines), "poll").memory

    assert found is not None
    assert (found.user, found.stack, found.kernel, found.sockets) == (512.0, 0.0, 4_096.0, None)
    assert found.total == 4_608.0


def test_kernel_memory_that_others_hide_is_not_observed_rather_than_nothing(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    for line in at_headline(lines, "poll"):
        line["server"]["memory_baseline_bytes"] = {"user": 1_000, "kernel": 7_000, "slab": 0}
        line["server"]["memory_bytes"] = {"user": 5_121_000, "kernel": 90_000, "slab": -3_000}

    found = cell_of(analysed(head, lines), "poll").memory

    assert found is not None
    assert (found.user, found.kernel, found.total) == (512.0, None, None)


@pytest.mark.parametrize(("busy", "saturated"), [(0.95, True), (0.949, False)])
def test_a_rate_is_a_capacity_only_where_the_server_was_busy(
    head: dict[str, Any], records: Lines, busy: float, saturated: bool
) -> None:
    lines = copy.deepcopy(records)
    for line in at_headline(lines, "poll"):
        line["server"]["cpu_busy"] = busy

    assert cell_of(analysed(head, lines), "poll").saturated is saturated


def test_the_curve_of_a_ramp_is_that_of_the_median_trial(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    ramps = matching(lines, variant="poll", scenario="ramp", connections_requested=100)
    for line, seconds in zip(ramps, (0.3, 0.1, 0.2), strict=True):
        line["ramp"] |= {"time_to_n_s": seconds, "timeline": [[0, 0], [seconds * 1e3, 100]]}

    ramp = cell_of(analysed(head, lines), "poll", CellKey("ramp", 100, 0, 64, 1, None)).ramp

    assert ramp is not None
    assert ramp.timeline == ((0.0, 0.0), (200.0, 100.0))


def test_nothing_measured_is_an_analysis_too() -> None:
    analysis = analyse({}, [], [])

    assert (analysis.cells, analysis.groups, analysis.headline.key) == ((), (), None)


def test_a_record_of_which_only_the_failure_is_left_breaks_nothing(
    head: dict[str, Any], records: Lines
) -> None:
    failed = [synthetic.failed_cell(line, "server-died", "exit 139") for line in records]

    analysis = analysed(head, failed)

    assert {cell.status for cell in analysis.cells if cell.variant == "poll"} == {"void"}
    assert analysis.ranked_void
