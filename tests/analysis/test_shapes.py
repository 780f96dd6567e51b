"""Each expected shape against a campaign that has it, one that has not, and one without figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from lines import analyse, check
from synthetic import campaign, outcomes, records

from harness.analysis import expected_shapes
from harness.analysis.expected_shapes import Row
from harness.analysis.intervals import estimate
from harness.analysis.results import Cell, CellKey, Memory
from harness.analysis.series import Series
from harness.report import model
from harness.report.page import html
from harness.report.text import report_formats, terminal_text

IDS = [shape.id for shape in expected_shapes.SHAPES]
NOTHING = analyse({}, [], [])
EVENTS = {"poll": "poll", "select": "select", "epoll-lt": "epoll-lt", "epoll-et": "epoll-et"}
ALL = EVENTS | {"thread-per-connection": "thread-per-connection"}


def cell(variant: str, scenario: str, connections: int, **figures: Any) -> Cell:
    """A cell whose `efficiency` is the same number in three blocks, or a list of one for each."""
    rate = figures.pop("efficiency", None)
    values = rate if isinstance(rate, list) else [rate] * 3
    blank = dict.fromkeys(Cell.__dataclass_fields__)
    return Cell(
        **{
            **blank,
            "variant": variant,
            "key": CellKey(
                scenario,
                connections,
                min(100, connections) if scenario == "idle" else connections,
                figures.pop("payload_bytes", 64),
                figures.pop("depth", 1),
                None,
            ),
            "status": "valid",
            "counts": (("valid", 3),),
            "reasons": (),
            "efficiency": estimate(Series.of_blocks(dict(enumerate(values, 1)))) if rate else None,
            **figures,
        }
    )


def judged(name: str, *cells: Cell, **head: Any) -> Row:
    """One shape over these cells; servers are called after their architecture."""
    variants = [
        {"name": cell.variant, "architecture": cell.variant, "language": "C++", "family": "C++"}
        for cell in cells
    ]
    rows = check({"variants": variants} | head, replace(NOTHING, cells=cells))
    return next(row for row in rows if row.id == name)


def kept(name: str, architecture: str, share: float) -> Row:
    return judged(
        name,
        cell(architecture, "idle", 100, efficiency=100_000.0),
        cell(architecture, "idle", 10_000, efficiency=100_000.0 * share),
    )


@pytest.mark.parametrize("architecture", ["poll", "select"])
@pytest.mark.parametrize(("share", "verdict"), [(0.2, "pass"), (0.499, "pass"), (0.501, "fail")])
def test_a_scan_keeps_half_or_less(architecture: str, share: float, verdict: str) -> None:
    row = kept("idle-scan", architecture, share)

    assert row.verdict == verdict
    assert row.observed[0].who == architecture
    assert row.observed[0].value == pytest.approx(share)


@pytest.mark.parametrize("architecture", ["epoll-lt", "epoll-et"])
@pytest.mark.parametrize(("share", "verdict"), [(0.95, "pass"), (0.801, "pass"), (0.799, "fail")])
def test_epoll_keeps_four_fifths_or_more(architecture: str, share: float, verdict: str) -> None:
    assert kept("idle-epoll", architecture, share).verdict == verdict


@pytest.mark.parametrize(("slowest", "verdict"), [(100.0, "pass"), (87.1, "pass"), (86.8, "fail")])
def test_four_event_servers_with_all_active_lie_within_15_percent(
    slowest: float, verdict: str
) -> None:
    rates = dict.fromkeys(EVENTS, 100.0) | {"poll": slowest}
    cells = [cell(name, "active", 1_000, efficiency=rate) for name, rate in rates.items()]

    assert judged("all-active", *cells).verdict == verdict
    assert judged("all-active", *cells[1:]).verdict == "not applicable"


def test_servers_with_all_active_are_compared_where_all_have_a_figure() -> None:
    """Two slow blocks, in which one server has none, make nobody better or worse."""
    rates = [100.0, 50.0, 50.0, 100.0, 100.0]
    cells = {name: cell(name, "active", 1_000, efficiency=rates) for name in EVENTS}
    known, fewer = (Series.of_blocks(dict.fromkeys((1, 4, last), 100.0)) for last in (5, 6))
    cells["poll"] = replace(cells["poll"], efficiency=estimate(known))
    few = replace(cells["poll"], efficiency=estimate(fewer))

    (observed,) = judged("all-active", *cells.values()).observed
    assert observed.value == pytest.approx(1.0)
    assert judged("all-active", *(cells | {"poll": few}).values()).verdict == "not applicable"


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.851, "pass"), (1.029, "pass"), (0.849, "fail"), (1.031, "fail")],
)
def test_a_drained_edge_is_a_little_slower_than_a_level(ratio: float, verdict: str) -> None:
    pair = [
        cell("epoll-et", "idle", 1_000, efficiency=100.0 * ratio),
        cell("epoll-lt", "idle", 1_000, efficiency=100.0),
    ]
    sized = [
        [replace(one, key=replace(one.key, scenario="payload", payload_bytes=size)) for one in pair]
        for size in (1_024, 16_384)
    ]

    assert judged("et-lt", *pair).verdict == verdict
    assert judged("et-lt", *sized[0]).verdict == verdict
    assert "payload 1,000 of 1,024 B" in judged("et-lt", *sized[0]).observed_text
    assert judged("et-lt", *sized[1]).verdict == "not applicable"


@pytest.mark.parametrize(
    ("ratio", "connections", "verdict"),
    [
        (1.24, 1_000, "pass"),
        (0.76, 100, "pass"),
        (1.26, 1_000, "fail"),
        (0.74, 100, "fail"),
        (2.0, 10_000, "not applicable"),
    ],
)
def test_select_is_about_poll_up_to_a_thousand_connections(
    ratio: float, connections: int, verdict: str
) -> None:
    row = judged(
        "select-poll",
        cell("select", "idle", connections, efficiency=100.0 * ratio),
        cell("poll", "idle", connections, efficiency=100.0),
    )

    assert row.verdict == verdict


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([0.90, 0.91, 0.92], "pass"),
        ([0.95, 1.00, 1.05], "not settled"),  # 1.00, but from 0.88 to 1.13
        ([0.99, 1.05, 1.11], "not settled"),  # beyond the bound, and not surely
        ([1.09, 1.10, 1.11], "fail"),
        ([0.70, 0.71, 0.72], "fail"),
        ([0.30, 0.90, 2.70], "not settled"),  # wider than the bounds
    ],
)
def test_a_ratio_whose_interval_contains_its_bound_is_not_settled(
    ratios: list[float], verdict: str
) -> None:
    row = judged(
        "et-lt",
        cell("epoll-et", "idle", 1_000, efficiency=[100.0 * ratio for ratio in ratios]),
        cell("epoll-lt", "idle", 1_000, efficiency=100.0),
    )

    assert row.verdict == verdict
    assert [one.verdict for one in row.observed] == [verdict]


def test_the_largest_and_the_smallest_of_all_active_are_compared_with_their_interval() -> None:
    even = {name: cell(name, "active", 1_000, efficiency=100.0) for name in EVENTS}
    spread = even | {"poll": cell("poll", "active", 1_000, efficiency=[80.0, 90.0, 100.0])}
    row = judged("all-active", *spread.values())

    assert row.verdict == "not settled"
    assert row.observed[0].value == pytest.approx((1e6 / (80.0 * 90.0 * 100.0)) ** (1 / 3))
    assert row.observed_text.startswith("active 1,000 1.12 (0.")


def test_a_shape_is_as_its_worst_value() -> None:
    level = cell("epoll-lt", "idle", 100, efficiency=100.0)
    edges = [
        cell("epoll-et", "idle", 100, efficiency=90.0),
        cell("epoll-et", "idle", 1_000, efficiency=[95.0, 100.0, 105.0]),
        cell("epoll-et", "active", 1_000, efficiency=120.0),
    ]
    pairs = [(edge, replace(level, key=edge.key)) for edge in edges]
    rows = [judged("et-lt", *sum(pairs[:count], ())) for count in (1, 2, 3)]

    assert [row.verdict for row in rows] == ["pass", "not settled", "fail"]
    assert expected_shapes.conclusion(rows) == (
        "Expected shapes: 1 pass, 1 fail, 1 not settled, 0 not applicable; failed: et-lt."
    )


def test_a_ratio_is_paired_by_block_and_has_its_interval() -> None:
    row = judged(
        "et-lt",
        cell("epoll-et", "idle", 100, efficiency=[90.0, 180.0, 45.0]),
        cell("epoll-lt", "idle", 100, efficiency=[100.0, 200.0, 50.0]),
    )

    assert row.observed_text == "epoll-et/epoll-lt, idle 100 0.900 (0.900 to 0.900)"


def test_a_server_that_ran_twice_in_a_block_counts_with_both_runs() -> None:
    """Of 100 and 81 the mean is 90; where one run has no figure the other one stands."""
    edge = cell("epoll-et", "idle", 100, efficiency=[90.0, 180.0, 100.0])
    level = cell("epoll-lt", "idle", 100, efficiency=[100.0, 200.0, 100.0])
    second = estimate(Series.of_blocks({1: 81.0, 2: 162.0}))
    again = replace(level, variant="epoll-lt.again", efficiency=second)
    variants = [
        {"name": name, "architecture": name.removesuffix(".again"), "language": "C++"}
        for name in ("epoll-et", "epoll-lt", "epoll-lt.again")
    ]
    variants[-1]["same_as"] = "epoll-lt"

    rows = check({"variants": variants}, replace(NOTHING, cells=(edge, level), control=(again,)))

    (row,) = (row for row in rows if row.id == "et-lt")
    assert row.observed_text == "epoll-et/epoll-lt, idle 100 1.00 (1.00 to 1.00)"


def test_two_trials_are_too_few_for_a_ratio() -> None:
    row = judged(
        "et-lt",
        cell("epoll-et", "idle", 100, efficiency=[90.0, 180.0]),
        cell("epoll-lt", "idle", 100, efficiency=[100.0, 200.0]),
    )

    assert row.verdict == "not applicable"
    assert "3 trials" in row.reason


CALLS = [
    ("calls-threads", "thread-per-connection", 2.0, None, "pass"),
    ("calls-threads", "thread-per-connection", 2.05, None, "fail"),
    ("calls-level", "poll", 2.0 + 1 / 40, 40.0, "pass"),
    ("calls-level", "select", 2.5, 2.0, "pass"),
    ("calls-level", "epoll-lt", 3.0, 40.0, "fail"),
    ("calls-level", "epoll-lt", 2.1, None, "not applicable"),
    ("calls-edge", "epoll-et", 3.0 + 1 / 40, 40.0, "pass"),
    ("calls-edge", "epoll-et", 2.0 + 1 / 40, 40.0, "fail"),
]


@pytest.mark.parametrize(("name", "architecture", "calls", "k", "verdict"), CALLS)
def test_calls_per_echo_are_what_the_mechanism_takes(
    name: str, architecture: str, calls: float, k: float | None, verdict: str
) -> None:
    seen = {"syscalls_per_echo": calls, "events_per_wake_up": k}

    assert judged(name, cell(architecture, "idle", 1_000, **seen)).verdict == verdict
    assert judged(name, cell(architecture, "idle", 1_000, depth=8, **seen)).verdict == (
        "not applicable"
    )


def test_of_the_calls_of_a_server_the_cell_farthest_off_is_told() -> None:
    cells = [
        cell("poll", "idle", 100, syscalls_per_echo=2.5, events_per_wake_up=2.0),
        cell("poll", "idle", 1_000, syscalls_per_echo=3.5, events_per_wake_up=2.0),
        cell("poll", "active", 1_000, syscalls_per_echo=2.5, events_per_wake_up=2.0),
    ]
    row = judged("calls-level", *cells)

    assert row.verdict == "fail"
    assert row.observed_text == "poll, idle 1,000 3.500 for 2.500"


def memory(**kinds: float) -> Memory:
    return Memory(**(dict.fromkeys(("user", "stack", "kernel", "sockets"), 0.0) | kinds))


@pytest.mark.parametrize(
    ("name", "architecture", "found", "verdict"),
    [
        ("memory-threads", "thread-per-connection", memory(stack=8e3, kernel=24e3), "pass"),
        ("memory-threads", "thread-per-connection", memory(stack=8e3, kernel=16e3), "fail"),
        ("memory-threads", "thread-per-connection", memory(stack=30e3, kernel=24e3), "fail"),
        ("memory-user", "poll", memory(user=999.0), "pass"),
        ("memory-user", "epoll-lt", memory(user=1_000.0), "fail"),
        ("memory-kernel", "epoll-et", memory(kernel=3_500.0), "pass"),
        ("memory-kernel", "epoll-et", memory(kernel=5_501.0), "fail"),
        ("memory-kernel", "select", memory(kernel=3_499.0), "fail"),
    ],
)
def test_memory_per_connection_lies_where_it_is_known_to(
    name: str, architecture: str, found: Memory, verdict: str
) -> None:
    few = cell(architecture, "idle", 100, memory=memory(user=9e9, kernel=9e9))

    assert judged(name, few).verdict == "not applicable"
    row = judged(name, few, cell(architecture, "idle", 10_000, memory=found))
    assert row.verdict == verdict
    assert [one.who for one in row.observed] == [f"{architecture}, idle 10,000"]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"admitted": 17, "late": 8, "waited_s": 1.02}, "pass"),
        ({"admitted": 16, "late": 9, "waited_s": 1.02}, "fail"),
        ({"admitted": 17, "late": 8, "waited_s": 0.2}, "fail"),
        ({"admitted": 17, "late": 8, "waited_s": 3.1}, "fail"),
        ({"admitted": 17, "late": 7, "waited_s": 1.02}, "fail"),
        ({"admitted": 17, "late": 0, "waited_s": None}, "fail"),
        ({}, "not applicable"),
    ],
)
def test_a_backlog_admits_one_more_than_its_size(
    found: dict[str, float | None], verdict: str
) -> None:
    figures = {"backlog": found | {"backlog": 16, "tried": 25} if found else {}}

    assert judged("backlog", selftest={"figures": figures}).verdict == verdict


def test_servers_of_other_families_are_none_of_these() -> None:
    slow = {"name": "libevent", "architecture": "poll", "language": "C++", "family": "libraries"}
    cells = tuple(cell("libevent", "idle", n, efficiency=100.0) for n in (100, 10_000))
    rows = check({"variants": [slow]}, replace(NOTHING, cells=cells))

    assert {row.verdict for row in rows} == {"not applicable"}


def test_a_campaign_without_figures_passes_nothing_and_says_why() -> None:
    rows = check({}, NOTHING)

    assert [row.id for row in rows] == IDS
    assert all(row.verdict == "not applicable" and row.reason for row in rows)
    assert all(row.bound and row.source for row in rows)


def toy(
    change: Callable[[dict[str, Any]], None] = lambda head: None, trials: int = 5
) -> model.Model:
    head = campaign(trials=trials)
    change(head)
    return model.build(head, records(head), outcomes(head))


def by_id(rows: tuple[Row, ...]) -> Mapping[str, Row]:
    return {row.id: row for row in rows}


def test_a_toy_campaign_has_the_shapes_that_it_was_made_with() -> None:
    rows = by_id(toy().shapes)

    passed = {"idle-scan", "idle-epoll", "all-active", "memory-threads", "memory-kernel"}
    assert {name for name in passed if rows[name].verdict != "pass"} == set()
    assert {"poll", "select"} <= {one.who for one in rows["idle-scan"].observed}


def test_shapes_are_in_the_terminal_the_page_and_the_data() -> None:
    built = toy(trials=3)  # too few for all servers to be surely within 15 %
    document = json.loads(json.dumps(report_formats.document(built)))
    terminal, markdown, page = (
        terminal_text.render(built),
        report_formats.markdown(built),
        html.render(built),
    )

    assert [row["id"] for row in document["shapes"]] == IDS
    assert [row["source"] for row in document["shapes"]] == [row.source for row in built.shapes]
    for row in built.shapes:
        assert (row.id in terminal) == (row.verdict == "fail")
        assert row.id in markdown
    assert expected_shapes.conclusion(built.shapes) in terminal
    assert "2 not settled" in terminal
    assert "? not settled" in page
    assert terminal.index("rank") < terminal.index("Expected shapes")
    assert 'id="shapes"' in page


def test_a_failed_shape_is_named_in_the_conclusion() -> None:
    rows = [kept("idle-scan", "poll", 0.9), kept("idle-epoll", "epoll-lt", 0.9)]

    assert expected_shapes.conclusion(rows) == (
        "Expected shapes: 1 pass, 1 fail, 0 not settled, 0 not applicable; failed: idle-scan."
    )


def test_what_the_analysis_hands_on_is_enough() -> None:
    head = campaign(trials=1)
    rows = by_id(check(head, analyse(head, records(head), outcomes(head))))

    assert rows["idle-scan"].verdict == "not applicable"
    assert rows["memory-threads"].verdict == "pass"
