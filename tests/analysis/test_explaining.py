"""What an echo is made of: columns computed from records with known answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import synthetic
from lines import analyse

from harness.analysis import bottlenecks, echo_costs, xrays
from harness.contract.stored_campaign import StoredHead, StoredXray
from harness.contract.stored_cell import StoredCell
from harness.report.sections import spent

RECORD: dict[str, Any] = {
    "echoes_per_s": 2_000.0,
    "payload_bytes": 64,
    "server": {
        "counters": {"waits": 50, "events": 1_000, "bytes_in": 64_000, "bytes_out": 64_000},
        "switches": {"voluntary": 300, "involuntary": 100, "interval_s": 2.0},
        "stat_ticks": {"user": 20, "nice": 0, "system": 50, "softirq": 30, "irq": 0, "idle": 900},
    },
}
XRAY = {
    "variant": "epoll-lt",
    "connections_requested": 10_000,
    "payload_bytes": 64,
    "syscalls": {"recvfrom": 500, "sendto": 500, "epoll_wait": 400},
    "echoes": 500,
    "tool": "strace",
    "reason": None,
}


def test_the_columns_are_those_of_the_counters() -> None:
    assert echo_costs.columns(StoredCell.of(RECORD)) == {
        "switches_per_echo": pytest.approx(0.1),
        "voluntary_per_echo": pytest.approx(0.075),
        "involuntary_per_echo": pytest.approx(0.025),
        "waits_per_echo": pytest.approx(0.05),
        "events_per_wake_up": pytest.approx(20.0),
        "user_share": pytest.approx(0.2),
        "system_share": pytest.approx(0.5),
        "softirq_share": pytest.approx(0.3),
    }


@pytest.mark.parametrize(
    "server", [None, {}, {"counters": None, "switches": None, "stat_ticks": {}}]
)
def test_what_was_not_read_has_no_column(server: Any) -> None:
    assert set(echo_costs.columns(StoredCell.of(RECORD | {"server": server})).values()) == {None}


def test_switches_are_not_told_where_threads_end_with_their_connections() -> None:
    found = echo_costs.columns(StoredCell.of(RECORD | {"closing": "fin"}))

    kinds = ("switches_per_echo", "voluntary_per_echo", "involuntary_per_echo")
    assert [found[kind] for kind in kinds] == [None, None, None]
    assert found["waits_per_echo"] == pytest.approx(0.05)


def test_a_server_that_never_waits_has_no_events_per_wake_up() -> None:
    counted = {"waits": 0, "events": 0, "bytes_in": 6_400, "bytes_out": 6_400}

    found = echo_costs.columns(StoredCell.of(RECORD | {"server": {"counters": counted}}))

    assert (found["waits_per_echo"], found["events_per_wake_up"]) == (0.0, None)


def test_an_x_ray_tells_calls_that_move_data_from_calls_that_wait() -> None:
    assert xrays.calls_per_echo(StoredXray.of(XRAY)) == (2.0, 0.8)


def test_a_lock_is_neither_a_call_that_moves_data_nor_one_that_waits() -> None:
    calls = XRAY["syscalls"] | {"futex": 9_000}  # type: ignore[operator]

    assert xrays.calls_per_echo(StoredXray.of(XRAY | {"syscalls": calls})) == (2.0, 0.8)


def campaign_with(*lines: dict[str, Any], counters: Any = RECORD["server"]["counters"]) -> Any:
    """The headline cell of epoll-lt in a campaign with these x-rays."""
    head = synthetic.campaign() | {"xray": list(lines)}
    records = synthetic.records(head)
    for record in records:
        if record["variant"] == "epoll-lt" and "cpu_ns" in (record["server"] or {}):
            record["server"]["counters"] = counters
    analysis = analyse(head, records, synthetic.outcomes(head))
    return next(
        cell
        for cell in analysis.cells
        if cell.variant == "epoll-lt" and cell.key == analysis.headline.key
    )


def test_the_calls_of_a_cell_wait_as_often_as_the_cell_itself_did() -> None:
    cell = campaign_with(XRAY)

    # Two that move data, and one wait for twenty events: at the x-ray's pace it was 0.8
    assert cell.events_per_wake_up == pytest.approx(20.0)
    assert cell.syscalls_per_echo == pytest.approx(2.05)


@pytest.mark.parametrize("tool", ["strace", "perf"])
def test_the_report_names_what_counted_the_calls(tool: str) -> None:
    head = synthetic.campaign() | {"xray": [XRAY | {"tool": tool}]}
    records = synthetic.records(head)
    for record in records:
        if record["server"]:
            record["server"]["counters"] = RECORD["server"]["counters"]
    analysis = analyse(head, records, synthetic.outcomes(head))

    (figure,) = (one for one in spent.figures(head, analysis, ()) if one.id == "fig-calls")

    assert f"{tool} counted receive, send" in figure.reading


@pytest.mark.parametrize(
    "line",
    [
        XRAY | {"syscalls": None, "echoes": None, "tool": None, "reason": "perf needs root"},
        XRAY | {"echoes": 0},
        XRAY | {"payload_bytes": 1_024},
        XRAY | {"connections_requested": 100},
        XRAY | {"variant": "poll"},
    ],
)
def test_a_cell_takes_no_calls_from_an_x_ray_of_something_else(line: dict[str, Any]) -> None:
    assert campaign_with(line).syscalls_per_echo is None


def test_a_server_that_does_not_count_takes_no_waits_from_an_x_ray() -> None:
    assert campaign_with(XRAY, counters=None).syscalls_per_echo is None


def test_the_calls_of_a_server_that_never_waits_are_those_that_move_data() -> None:
    line = XRAY | {"syscalls": {"recvfrom": 500, "sendto": 500, "futex": 20}}

    assert campaign_with(line, counters=None).syscalls_per_echo == 2.0


SHARES = {"user_share": 0.2, "system_share": 0.5, "softirq_share": 0.3}


def sentences(architecture: str, **columns: float | None) -> list[str]:
    """What is said of epoll-lt's headline cell, were it of this architecture."""
    head = synthetic.campaign()
    next(one for one in head["variants"] if one["name"] == "epoll-lt")["architecture"] = (
        architecture
    )
    analysis = analyse(head, synthetic.records(head), synthetic.outcomes(head))
    cells = tuple(
        replace(cell, **({"voluntary_per_echo": None} | columns))  # type: ignore[arg-type]
        if cell.variant == "epoll-lt"
        else replace(cell, user_share=None)
        for cell in analysis.cells
    )
    return [
        one.text for one in bottlenecks.find(StoredHead.of(head), replace(analysis, cells=cells))
    ]


@pytest.mark.parametrize(
    ("architecture", "columns", "expected"),
    [
        (
            "poll",
            {"events_per_wake_up": 40.0},
            "each wake-up scans 10,000 descriptors to find 40",
        ),
        (
            "thread-per-connection",
            {"voluntary_per_echo": 0.9},
            "its threads go to sleep 0.900 times per echo",
        ),
        (
            "epoll-lt",
            {"syscalls_per_echo": 2.05, "events_per_wake_up": 20.0},
            ": 2.05 system calls per echo.",
        ),
    ],
)
def test_it_is_told_where_the_cpu_time_goes(
    architecture: str, columns: dict[str, float], expected: str
) -> None:
    (sentence,) = sentences(architecture, **SHARES, **columns)

    start = "epoll-lt spends 80 % of its CPU time in the kernel and 20 % in its own code"
    assert sentence.startswith(f"{start} (network interrupts: 30 %)")
    assert expected in sentence


def test_a_server_whose_cpu_was_not_the_limit_is_said_to_be_idle() -> None:
    (sentence,) = sentences(
        "epoll-lt", **SHARES, saturated=False, server_busy=0.7, syscalls_per_echo=2.0
    )

    assert ", and its CPU is idle for 30 % of the time" in sentence


def test_a_count_is_no_cause_without_the_shares_of_the_cpu_time() -> None:
    assert sentences("poll", events_per_wake_up=40.0, user_share=None) == []
