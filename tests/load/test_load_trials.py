"""Whole trials: a real load process, a real server, a network namespace of their own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from load_trials import FRAIL, PORT, LoadRun, cell, killed, spec, step, vanish

Run = Callable[[dict[str, Any]], LoadRun]

CELL_KEYS = (
    {"cell", "scenario", "connections_requested", "connections_established_min", "active"}
    | {"payload_bytes", "depth", "rate_offered_per_s", "window_s", "echoes", "echoes_per_s"}
    | {"corrupt_bytes", "lost", "errors", "latency_us", "self_delay_us", "histogram"}
    | {"connect_us", "hello_us", "ramp", "server", "generator", "tcp", "host", "failure", "capped"}
)
SERVER_KEYS = {
    "cpu_ns",
    "cpu_busy",
    "stat_ticks",
    "cpu_us_per_echo",
    "user_us",
    "system_us",
    "threads",
} | {"switches", "run_wait_ns", "memory_bytes", "memory_baseline_bytes", "memory_kernel_source"}
GENERATOR_KEYS = {
    "cpu_busy",
    "cpu_ns",
    "blocked_ns",
    "send_lag_us",
    "missed_sends",
    "little_outstanding",
} | {"workers", "cpu_us_per_echo", "stat_ticks"}


def check_totals(run: LoadRun, totals: dict[str, int]) -> None:
    """The load's totals are the server's own counters, exactly."""
    counters = run.counters()
    assert totals["bytes_sent"] == counters["bytes_in"]
    assert totals["bytes_received"] == counters["bytes_out"]
    assert totals["connections"] == counters["accepted"]


def test_a_trial_tells_every_cell_with_every_key_and_ends_with_exact_totals(run_load: Run) -> None:
    run = run_load(spec(step(20), step(60, active=60, window_s=1.2)))
    run.serve_epoll()
    done = run.to_end()
    assert done["event"] == "done"
    cells = run.of("cell")
    assert [record["cell"] for record in cells] == [0, 1, 2, 3]
    assert [event["cell"] for event in run.of("sample")] == [-1, 0, 1, 2, 3]
    for record in cells:
        assert set(record) - {"event"} >= CELL_KEYS
        assert set(record["server"]) >= SERVER_KEYS
        assert set(record["generator"]) >= GENERATOR_KEYS
        assert record["failure"] is None
        assert record["connections_established_min"] == record["connections_requested"]
    assert [record["ramp"]["established"] for record in (cells[0], cells[2])] == [20, 60]
    assert cells[2]["ramp"]["timeline"][-1][1] == 60
    assert run.of("progress")
    check_totals(run, done["totals"])
    assert run.stop() == -signal.SIGTERM
    assert "Traceback" not in run.stderr()


def test_the_figures_of_a_cell_agree_with_each_other(run_load: Run) -> None:
    run = run_load(spec(step(30, active=30, window_s=0.5)))
    run.serve_epoll()
    assert run.to_end()["event"] == "done"
    record = run.of("cell")[1]
    server, generator = record["server"], record["generator"]
    assert record["latency_us"]["count"] == record["echoes"]
    assert record["echoes_per_s"] * record["window_s"] == pytest.approx(record["echoes"])
    assert generator["little_outstanding"] == pytest.approx(30, rel=0.02)
    charged = server["charged"]
    assert server["cpu_us_per_echo"] == pytest.approx(charged["cpu_ns"] / charged["echoes"] / 1e3)
    assert charged["source"] == "processes"
    assert charged["cpu_ns"] == charged["processes_ns"] >= server["cpu_ns"]
    assert charged["echoes"] >= record["echoes"]
    assert 0 < server["cpu_ns"] <= server["interval_ns"]
    assert server["threads"] == 1
    assert server["memory_bytes"]["user"] > 0
    assert server["memory_bytes"]["stack"] == 0


@pytest.mark.parametrize("why_not", ["", "shared", "asked"])
def test_a_generator_with_a_cpu_of_its_own_polls_in_a_closed_loop_too(
    run_load: Run, why_not: str
) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one CPU only")
    # One message at a time: half of each round trip there is nothing for the generator to do
    run = run_load(
        spec(
            step(1, active=1, window_s=0.5),
            load_cpus=cpus[:1],
            server_cpus=cpus[:1] if why_not == "shared" else cpus[-1:],
            spin=why_not != "asked",
        )
    )
    run.serve_epoll()
    assert run.to_end()["event"] == "done"
    generator = run.of("cell")[1]["generator"]
    assert generator["spin"] == (not why_not)
    assert (generator["spun_ns"] > 0) == (not why_not)
    assert run.of("cell")[0]["generator"]["spin"] is None


def test_the_ready_event_shows_the_limits_that_hold_for_the_server(run_load: Run) -> None:
    run = run_load(spec())
    run.serve_epoll()
    ready = run.until("ready")
    assert run.server is not None
    assert ready["server"]["pids"] == [run.server.pid]
    limits = Path(f"/proc/{run.server.pid}/limits").read_text()
    row = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert [str(limit) for limit in ready["server"]["nofile"]] == row.split()[3:5]
    assert ready["server"]["pid1"] is False
    assert run.of("hello")[0]["sysctls"] == {"net.core.somaxconn": "8192"}


def test_a_master_and_two_workers_count_exactly_what_the_server_counts(run_load: Run) -> None:
    run = run_load(spec(step(31, active=7, window_s=0.4), workers=2))
    run.serve_epoll()
    done = run.to_end()
    assert done["event"] == "done"
    ramp, idle = run.of("cell")
    assert ramp["ramp"]["established"] == 31
    assert ramp["connect_us"]["count"] == 31
    assert idle["connections_established_min"] == 31
    assert idle["generator"]["workers"] == 2
    assert idle["generator"]["little_outstanding"] == pytest.approx(7, rel=0.02)
    assert idle["latency_us"]["count"] == idle["echoes"] > 0
    check_totals(run, done["totals"])
    workers = run.workers()
    assert len(workers) == 2
    assert run.stop() == -signal.SIGTERM
    assert vanish(workers, 1)


@pytest.mark.parametrize("kind", ["tcp://[::]:7000", "unix"])
def test_every_kind_of_address_is_driven_and_counted(
    run_load: Run, kind: str, tmp_path: Path
) -> None:
    listen = f"unix://{tmp_path}/echo.sock" if kind == "unix" else kind
    address = listen.replace("[::]", "[::1]")
    run = run_load(spec(step(20), address=address))
    run.serve_epoll(listen)
    done = run.to_end()
    assert done["event"] == "done"
    assert [r["connections_established_min"] for r in run.of("cell")] == [20, 20]
    check_totals(run, done["totals"])


def test_an_open_loop_cell_sends_at_its_rate(run_load: Run) -> None:
    paced = cell("paced", 20, 20, 0.5) | {"rate_per_s": 2000.0}
    run = run_load(spec({"connections": 20, "cells": [cell("ramp", 20), paced]}, workers=2))
    run.serve_epoll()
    assert run.to_end()["event"] == "done"
    record = run.of("cell")[1]
    assert record["rate_offered_per_s"] == 2000
    assert record["echoes_per_s"] == pytest.approx(2000, rel=0.25)
    # One stamp per read, and a read may bring more than one message
    assert 0 < record["self_delay_us"]["count"] <= record["latency_us"]["count"]


def test_a_server_that_is_killed_ends_the_trial_and_keeps_the_cells_before(run_load: Run) -> None:
    run = run_load(spec(step(20), step(40, window_s=5)))
    run.serve_epoll()
    while run.until("cell")["cell"] < 2:
        pass
    assert run.server is not None
    killed(run.server)
    failure = run.to_end()
    assert failure["code"] == "server-died"
    assert "idle at 40 connections" in failure["text"]
    cells = run.of("cell")
    assert [record["failure"] and record["failure"]["code"] for record in cells] == [
        *(None, None, None),
        "server-died",
    ]
    assert run.stop() == -signal.SIGTERM
    assert "Traceback" not in run.stderr()


def test_a_corrupt_byte_is_counted_and_the_trial_goes_on(run_load: Run) -> None:
    run = run_load(spec(step(20), step(30)))
    # Soon after the readiness probe and the 20 hellos, 60,730 bytes in all: the first traffic gets
    # that far on a slow host, too
    run.serve_frail("--corrupt-after", "61000")
    assert run.to_end()["event"] == "done"
    corrupt = [record["corrupt_bytes"] for record in run.of("cell")]
    assert corrupt[0] == 0
    assert corrupt[1] >= 1
    assert corrupt[2:] == [0, 0]


def test_totals_are_not_told_where_an_attempt_at_readiness_was_given_up(run_load: Run) -> None:
    """Else the server's own counters would be compared with what nobody knows."""
    run = run_load(spec())
    run.serve_frail("--drop-first")

    done = run.to_end()

    assert (done["event"], done["totals"]) == ("done", None)
    assert all(record["failure"] is None for record in run.of("cell"))


def test_a_server_that_dies_right_after_its_first_echo_is_no_error_of_the_load(
    run_load: Run,
) -> None:
    run = run_load(spec())
    run.serve_frail("--deafens")
    failure = run.to_end()
    assert failure["code"] == "server-died"
    assert failure["text"].endswith("nobody listens on tcp://127.0.0.1:7000 any more")


def test_a_server_that_echoes_wrong_bytes_is_told_with_position_and_bytes(run_load: Run) -> None:
    run = run_load(spec())
    run.serve_frail("--wrong")
    failure = run.to_end()
    assert failure["code"] == "wrong-echo"
    assert "at byte 0 of 1: expected " in failure["text"]


def test_a_server_that_never_listens_is_told_by_what_was_seen_last(run_load: Run) -> None:
    timeouts = {"ready_s": 0.5, "connect_s": 1, "settle_s": 1, "stop_s": 1}
    run = run_load(spec(timeouts=timeouts))
    failure = run.to_end()
    assert failure["code"] == "not-ready"
    assert failure["text"].endswith("within 0.5 s: connection refused")
    assert run.stop() == -signal.SIGTERM


def test_a_server_that_accepts_and_stays_silent_is_not_ready(run_load: Run) -> None:
    timeouts = {"ready_s": 1, "connect_s": 1, "settle_s": 1, "stop_s": 1}
    run = run_load(spec(timeouts=timeouts))
    run.serve_frail("--silent")
    failure = run.to_end()
    assert failure["code"] == "not-ready"
    assert "accepted, then silent" in failure["text"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--trickle", "it echoed 1 message(s) of the connection, then answered only"),
        ("--once", "it echoed 1 message(s) of the connection, then closed it"),
    ],
)
def test_a_server_that_only_begins_to_answer_is_named_within_its_time(
    run_load: Run, option: str, said: str
) -> None:
    timeouts = {"ready_s": 1.2, "connect_s": 1, "settle_s": 1, "stop_s": 1}
    run = run_load(spec(timeouts=timeouts))
    run.serve_frail(option)
    failure = run.to_end()
    assert failure["code"] == "not-ready"
    assert said in failure["text"]


def test_a_server_that_listens_on_a_port_of_its_own_is_told_so(run_load: Run) -> None:
    timeouts = {"ready_s": 1, "connect_s": 1, "settle_s": 1, "stop_s": 1}
    run = run_load(spec(timeouts=timeouts))
    run.serve([sys.executable, str(FRAIL), "5000"])
    failure = run.to_end()
    assert failure["code"] == "not-ready"
    assert failure["text"].endswith("it listens on 5000; LISTEN asked for 7000")


def test_a_declared_ceiling_is_told_as_capped_with_what_was_held(run_load: Run) -> None:
    ceiling = {"connections_max": 50, "beyond": "refuse", "reason": "a table of 50"}
    run = run_load(spec(step(50), step(80), ceiling=ceiling))
    run.serve_frail("--hold", "50")
    assert run.to_end()["event"] == "done"
    cells = run.of("cell")
    assert [record["failure"] for record in cells[:2]] == [None, None]
    ramp, idle = cells[2:]
    assert ramp["failure"]["code"] == idle["failure"]["code"] == "capped"
    assert ramp["failure"]["text"].startswith(
        "declared ceiling 50 (a table of 50); held 50 of 80: 30 failed: "
    )
    assert ramp["connections_established_min"] == idle["connections_established_min"] == 50


def test_an_undeclared_ceiling_fails_its_step_and_the_next_step_runs(run_load: Run) -> None:
    run = run_load(spec(step(80), step(20)))
    run.serve_frail("--hold", "50")
    assert run.to_end()["event"] == "done"
    cells = run.of("cell")
    codes = [record["failure"] and record["failure"]["code"] for record in cells]
    assert codes == ["held-fewer", "not-reached", None, None]
    assert "held 50 of 80: 30 failed" in cells[0]["failure"]["text"]
    assert cells[3]["connections_established_min"] == 20


@pytest.mark.parametrize("workers", [0, 2])
def test_sigterm_in_the_middle_of_a_cell_ends_the_load_and_leaves_no_process(
    run_load: Run, workers: int
) -> None:
    run = run_load(spec(step(20, window_s=30), workers=workers))
    run.serve_epoll()
    run.until("cell")
    children = run.workers()
    assert len(children) == workers
    assert run.stop() == -signal.SIGTERM
    assert vanish(children, 1)
    assert "Traceback" not in run.stderr()


def test_workers_do_not_outlive_a_load_that_is_killed(run_load: Run) -> None:
    run = run_load(spec(step(20, window_s=30), workers=2))
    run.serve_epoll()
    run.until("cell")
    children = run.workers()
    run.process.send_signal(signal.SIGKILL)
    run.process.wait(timeout=5)
    assert vanish(children, 2)


def test_a_load_ends_by_the_signal_that_ended_its_worker(run_load: Run) -> None:
    run = run_load(spec(step(20, window_s=30), workers=2))
    run.serve_epoll()
    run.until("cell")
    os.kill(run.workers()[0], signal.SIGKILL)
    assert run.process.wait(timeout=5) == -signal.SIGKILL
    assert "ended with code -9" in run.stderr()


def test_a_worker_that_ends_by_itself_is_the_loads_own_fault(run_load: Run) -> None:
    run = run_load(spec(step(20, window_s=30), workers=2))
    run.serve_epoll()
    run.until("cell")
    os.kill(run.workers()[0], signal.SIGSEGV)
    failure = run.to_end()
    assert failure["code"] == "load-error"
    assert "ended with code -11" in failure["text"]


def test_a_reader_that_goes_away_ends_the_trial_without_a_traceback(run_load: Run) -> None:
    run = run_load(spec(step(20, window_s=30)))
    run.serve_epoll()
    run.until("ready")
    run.hang_up()
    assert run.process.wait(timeout=5) == 0
    assert "Traceback" not in run.stderr()


def test_a_trial_that_makes_no_sense_is_told_and_exits_2(run_load: Run) -> None:
    run = run_load(spec() | {"seed": "seven"})
    failure = run.to_end()
    assert failure["code"] == "load-error"
    assert failure["text"] == 'C10K_TRIAL.seed: input should be a valid integer, not "seven"'
    assert run.process.wait(timeout=5) == 2


def test_the_masters_own_port_is_on_loopback_and_not_the_servers(run_load: Run) -> None:
    run = run_load(spec(step(20, window_s=30), workers=1))
    run.serve_epoll()
    run.until("ready")
    rows = Path(f"/proc/{run.process.pid}/net/tcp").read_text().splitlines()[1:]
    listening = [row.split()[1] for row in rows if row.split()[3] == "0A"]
    assert f"00000000:{PORT:04X}" in listening
    others = [local for local in listening if not local.endswith(f":{PORT:04X}")]
    assert others
    assert all(local.startswith("0100007F:") for local in others)
