"""Turns: what lies between them is in no figure, and who waits for one does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from load_trials import PORT, LoadRun, cell, spec
from test_load_figures import window

from harness.contract.address import parse
from harness.contract.trial_spec import PlacedCell
from harness.load import merged_figures, turns
from harness.load.probe import memory_use
from harness.load.probe.readings import Edge, Probe, TaskSample
from harness.load.turns import joined_edges, paced_as

Run = Callable[[dict[str, Any]], LoadRun]

EDGE = Edge(
    stamp_ns=1_000,
    server_cpu_ns=100,
    load_cpu_ns=50,
    user_ticks=1,
    system_ticks=2,
    threads=1,
    restarts=0,
    run_wait_ns=10,
    load_wait_ns=20,
    cpu_ticks={1: {"user": 5, "idle": 7}},
    tcp={"RetransSegs": 3},
    pressure_us=40,
    realtime_offset_ns=0,
)


def one_cell(**changes: Any) -> PlacedCell:
    """A cell of a closed loop."""
    plain = PlacedCell(
        index=0,
        scenario="idle",
        connections=100,
        active=100,
        payload_bytes=64,
        depth=1,
        rate_per_s=None,
        warmup_s=0.1,
        window_s=1.0,
    )
    return replace(plain, **changes)


def later(edge: Edge, by_ns: int, **changes: Any) -> Edge:
    """The edge after so long a time, with a server that was busy in all of it."""
    busy_ns = edge.server_cpu_ns + by_ns
    return replace(edge, stamp_ns=edge.stamp_ns + by_ns, server_cpu_ns=busy_ns, **changes)


def test_joined_edges_leave_out_what_was_between_the_turns() -> None:
    end = later(
        EDGE, 500, cpu_ticks={1: {"user": 6, "idle": 7}}, tcp={"RetransSegs": 3}, pressure_us=41
    )
    other = later(
        end, 10_000, cpu_ticks={1: {"user": 600, "idle": 9}}, tcp={"RetransSegs": 900}, threads=2
    )
    last = later(
        other,
        300,
        cpu_ticks={1: {"user": 603, "idle": 9}},
        tcp={"RetransSegs": 904},
        pressure_us=44,
    )

    first, joined = joined_edges([(EDGE, end), (other, last)])

    assert first == EDGE
    assert (joined.stamp_ns, joined.server_cpu_ns) == (1_000 + 800, 100 + 800)
    assert joined.cpu_ticks == {1: {"user": 5 + 1 + 3, "idle": 7}}
    assert joined.tcp == {"RetransSegs": 3 + 0 + 4}
    assert joined.pressure_us == 40 + 1 + 3
    assert joined.threads == 2


def test_edges_of_one_turn_are_as_they_were_read() -> None:
    end = later(EDGE, 500, run_wait_ns=None, tcp={"RetransSegs": 4, "OutRsts": 1})

    assert joined_edges([(EDGE, end)]) == (EDGE, end)


def test_what_one_edge_does_not_show_is_not_known_of_all() -> None:
    silent = later(EDGE, 100, run_wait_ns=None)

    joined = joined_edges([(EDGE, silent), (silent, later(EDGE, 300))])[1]

    assert joined.run_wait_ns is None
    assert joined.load_wait_ns == 20


def test_samples_are_as_far_apart_as_the_echoes_between_them_take() -> None:
    first, last = TaskSample(500, 10, 20), TaskSample(10**12, 15, 28)

    paced = paced_as(first, last, echoes=3_000, echoes_per_s=1_500.0)

    assert (paced.stamp_ns - first.stamp_ns) == 2 * 10**9
    assert (paced.voluntary, paced.involuntary) == (15, 28)
    assert paced_as(first, last, echoes=0, echoes_per_s=0.0) == last


def test_the_turns_of_an_engine_are_one_window_as_long_as_all_of_them() -> None:
    turns = [
        [window(100, 300, established_min=9, clock_step_ns=-90)],
        [window(500, start_ns=5 * 10**9, end_ns=8 * 10**9)],
    ]

    merged = merged_figures.merge_turns(turns)

    assert (merged.window_ns, merged.echoes, merged.overslept) == (4e9, 3, 0)
    assert merged.echoes_per_s == pytest.approx(3 / 4)
    assert merged.latency_mean_us == pytest.approx(300)
    assert merged.latency_max_us == 500
    assert merged.cpu_busy == pytest.approx(0.8 / 4)
    assert merged.established_min == 9
    assert merged.outstanding == pytest.approx(6 / 4)


@pytest.mark.parametrize(
    ("round_trip_s", "expected_s"),
    [
        (0.0, 0.1),  # none is known
        (0.001, 0.1),
        (0.005, 0.15),  # poll at 10,000 connections
        (1.0, 0.4),  # STRETCH_MAX
    ],
)
def test_a_turn_is_as_long_as_thirty_round_trips_of_its_server(
    round_trip_s: float, expected_s: float
) -> None:
    in_turns = one_cell(turns=10, window_s=1.0)

    assert turns.turn_s(in_turns, round_trip_s) == pytest.approx(expected_s)
    assert turns.turn_s(replace(in_turns, turns=1), round_trip_s) == 1.0


def test_a_server_that_stood_still_in_the_warm_up_gets_no_warm_up_of_minutes() -> None:
    """One echo of 100 connections in 0.2 s looks like a round trip of 20 s."""
    in_turns = one_cell(turns=10, window_s=1.0)
    stalled_s = turns.round_trip_s(in_turns, echoes=1, elapsed_s=0.2)

    assert stalled_s == pytest.approx(20.0)
    assert turns.warmup_of_turn_s(in_turns, stalled_s) == pytest.approx(2 * 0.4 / 30)
    assert turns.turn_s(in_turns, stalled_s) == pytest.approx(0.4)
    assert turns.warmup_of_turn_s(in_turns, 0.007) == pytest.approx(0.014)
    assert turns.warmup_of_turn_s(in_turns, 0.0) == 0.005


def test_a_round_trip_is_told_by_littles_law() -> None:
    closed = one_cell(active=100, depth=2)

    assert turns.round_trip_s(closed, echoes=40_000, elapsed_s=0.5) == pytest.approx(0.0025)
    assert turns.round_trip_s(closed, echoes=0, elapsed_s=0.5) == 0.0
    assert turns.round_trip_s(replace(closed, rate_per_s=5.0), 40_000, 0.5) == 0.0


def test_a_slow_server_has_longer_turns_of_the_same_number(run_load: Run) -> None:
    timed = cell("idle", 4, 1, 1.0) | {"turns": 10, "warmup_s": 0.5}
    run = run_load(spec({"connections": 4, "cells": [timed]}, side_by_side=True))
    run.serve_frail("--delay", "0.01")

    while (told := run.until("turn", "done", "failure"))["event"] == "turn":
        run.reply()
    assert told["event"] == "done"

    (told,) = run.of("cell")
    # Thirty round trips of 10 ms and more, ten times; 1 s was planned
    assert told["window_s"] >= 2.9
    assert told["turns"] == 10


@pytest.mark.parametrize("size", [1, 2])
def test_tenths_of_a_window_in_turns_are_turns(size: int) -> None:
    """A stall across the edge of a tenth of a turn leaves that turn without its own tenths."""
    turns = [[window(*[100] * (number + 1), parts=[])] for number in range(10 * size)]

    merged = merged_figures.merge_turns(turns)

    echoes = [number + 1 for number in range(10 * size)]
    rates = [sum(echoes[first : first + size]) / size for first in range(0, 10 * size, size)]
    assert merged.parts_per_s == pytest.approx(rates)


@pytest.mark.parametrize("turns", [2, 5])
def test_few_turns_have_several_tenths_of_the_window_each(turns: int) -> None:
    """Of five turns a half is a tenth of the window: five of the turn's own ten parts."""
    parts = [[[10**8, 10 * turn + part] for part in range(10)] for turn in range(turns)]

    merged = merged_figures.merge_turns([[window(1, parts=of_turn)] for of_turn in parts])

    echoes = [count for of_turn in parts for _, count in of_turn]
    rates = [
        sum(echoes[first : first + turns]) / (turns * 0.1) for first in range(0, 10 * turns, turns)
    ]
    assert merged.parts_per_s == pytest.approx(rates)
    stalled = merged_figures.merge_turns([[window(1, parts=of)] for of in (*parts[:-1], [])])
    assert stalled.parts_per_s is None


def test_an_engine_that_slept_through_turns_is_counted_once_and_has_no_tenths() -> None:
    slept = [window(end_ns=0, parts=[])]
    merged = merged_figures.merge_turns([[window(100)], *[slept] * 9])

    assert (merged.overslept, merged.parts_per_s) == (1, None)


def test_turns_of_different_engines_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        merged_figures.merge_turns([[window(1), window(2)], [window(3)]])


def test_slab_that_grows_in_the_turns_of_others_is_not_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told_bytes = iter([1_000, 5_000, 905_000])
    monkeypatch.setattr(memory_use, "slab_bytes", lambda: next(told_bytes))
    seen: list[int | None] = []
    monkeypatch.setattr(memory_use, "read", lambda pids, baseline: seen.append(baseline))
    probe = Probe(parse("tcp://127.0.0.1:7000"), ())

    probe.rest()
    probe.resume()
    probe.memory()

    assert seen == [1_000 + 900_000]


# Every byte that it sends comes back, as fast as it goes, for so many seconds.
HAMMER = """
import socket, sys, time
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
end_s = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end_s:
    peer.sendall(b"x")
    peer.recv(1)
"""


def test_traffic_between_two_turns_is_in_no_figure_of_the_cell(run_load: Run) -> None:
    turns, between_s = 5, 0.5
    timed = cell("idle", 20, 10, 2.0) | {"turns": turns}
    settings = {"side_by_side": True, "counters": True}
    run = run_load(spec({"connections": 20, "cells": [timed]}, **settings))
    run.serve_epoll()
    told = run.until("turn")
    for number in range(turns):  # after the ramp, and between two turns
        assert told["event"] == "turn"
        if number:
            join = ["nsenter", "--target", str(run.process.pid), "--net"]
            hammer = [sys.executable, "-c", HAMMER, str(PORT), str(between_s)]
            subprocess.run([*join, *hammer], check=True, timeout=30)
        run.reply()
        told = run.until("turn", "done", "failure")
    assert told["event"] == "done", told

    (record,) = run.of("cell")
    assert record["failure"] is None
    assert record["turns"] == turns
    # One line at the first opening, one at the last close
    assert record["counters_asked"] == {"lines": 2, "reason": None}
    assert record["window_s"] == pytest.approx(2.0, rel=0.2)
    server = record["server"]
    # With what was between the turns in it, it would be twice as long and more
    assert server["interval_ns"] == pytest.approx(2e9, rel=0.4)
    assert server["cpu_ns"] <= 1.05 * server["interval_ns"]
    # None where an engine stood still across the edge of one, as on a busy host
    assert record["parts_per_s"] is None or len(record["parts_per_s"]) == 10
    assert record["latency_us"]["count"] == record["echoes"]


def test_a_load_that_waits_for_its_turn_uses_no_cpu_and_ends_when_it_can_get_none(
    run_load: Run,
) -> None:
    run = run_load(spec(side_by_side=True))
    run.serve_epoll()
    run.until("turn")

    def ticks() -> int:
        fields = Path(f"/proc/{run.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    time.sleep(0.1)  # into its read
    before = ticks()
    time.sleep(1.0)
    assert ticks() - before <= 1
    assert run.process.stdin is not None
    run.process.stdin.close()
    assert run.process.wait(timeout=10) == 0
