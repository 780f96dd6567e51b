"""What the load does to explain a cell: asking the server for its counters, counting its calls."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from load_trials import FRAIL, PORT, SERVERS, LoadRun, cell, spec, step

from harness.load import procfs, xray

Load = Callable[[dict[str, Any]], LoadRun]

SUMMARY = """\
    calls syscall
--------- ----------------
     1204 recvfrom
     1204 sendto
      302 epoll_wait
--------- ----------------
     2710 total
"""


def test_the_tracers_summary_is_read_without_its_total() -> None:
    assert xray.calls(SUMMARY) == {"recvfrom": 1204, "sendto": 1204, "epoll_wait": 302}
    assert xray.calls("") == {}


def test_a_waiting_signal_is_seen_in_the_mask_of_the_process() -> None:
    status = "Name:\tx\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000000200\nSigBlk:\t0\n"

    assert procfs.pending_signals(status) == 1 << (10 - 1)


def lines_of(run: LoadRun) -> list[dict[str, int]]:
    """All counters that the server has printed, after its end."""
    assert run.server is not None
    run.server.terminate()
    stderr = run.server.communicate(timeout=10)[1]
    return [json.loads(line)["counters"] for line in stderr.splitlines()]


def test_a_server_with_counters_is_asked_at_both_edges_of_each_window(run_load: Load) -> None:
    run = run_load(spec(step(20, window_s=2.0), step(30, window_s=2.0), counters=True))
    run.serve_epoll()
    ended = run.to_end()
    assert ended["event"] == "done", ended

    lines = lines_of(run)

    cells = run.of("cell")
    assert [one["counters_asked"] for one in cells] == [
        None,
        {"lines": 2, "reason": None},
        None,
        {"lines": 4, "reason": None},
    ]
    assert len(lines) == 4 + 1  # and the one at its exit
    for traffic, opened, closed in zip(cells[1::2], lines[0:4:2], lines[1:4:2], strict=True):
        counted = (closed["bytes_in"] - opened["bytes_in"]) / 64
        # The signals come some time after the engine has opened and closed its window, which is
        # long enough for a busy host to make little of that
        assert counted == pytest.approx(traffic["echoes"], rel=0.25)


def test_a_server_without_counters_is_never_signalled(run_load: Load) -> None:
    run = run_load(spec(step(20)))
    run.serve_epoll()
    ended = run.to_end()
    assert ended["event"] == "done", ended

    assert len(lines_of(run)) == 1
    assert run.of("cell")[1]["counters_asked"] is None


def test_a_server_that_does_not_take_the_signal_costs_no_cell(
    run_load: Load, tmp_path: Path
) -> None:
    program = tmp_path / "deaf"
    program.write_text(
        "#!/usr/bin/python3\n"
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
        f"os.execv(sys.executable, [sys.executable, {str(FRAIL)!r}, '{PORT}'])\n"
    )
    program.chmod(0o755)
    run = run_load(spec(step(20), step(20), counters=True))
    run.serve([str(program)])

    ended = run.to_end()
    assert ended["event"] == "done", ended

    first, second = run.of("cell")[1::2]
    assert first["echoes"] > 0
    assert first["counters_asked"]["lines"] == second["counters_asked"]["lines"] == 1
    assert "SIGUSR1" in first["counters_asked"]["reason"]
    assert "SIGUSR1" in second["counters_asked"]["reason"]


def traceable() -> str | None:
    """Why strace cannot trace here, None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-c", "true"], capture_output=True, timeout=30, check=False)
    return None if done.returncode == 0 else f"tracing is refused: {done.stderr.decode()[-200:]}"


needs_strace = pytest.mark.skipif(traceable() is not None, reason=traceable() or "")


def built(variant: str) -> str:
    """The program of a variant."""
    make = ["make", "-C", str(SERVERS), variant]
    subprocess.run(make, check=True, capture_output=True, timeout=300)
    return str(SERVERS / "build" / variant)


# Tracing and a crowded host take their time
COUNTED = {
    "xray": True,
    "timeouts": {"ready_s": 30, "connect_s": 30, "settle_s": 20, "stop_s": 20},
}


def xrayed(connections: int, active: int) -> dict[str, Any]:
    """A step with one cell whose calls are counted, at a pace that a traced server can keep."""
    paced = cell("idle", connections, active, window_s=1.0) | {"rate_per_s": 2.0 * active}
    return {"connections": connections, "cells": [paced]}


WAITS = {"select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait"}


@needs_strace
@pytest.mark.parametrize(
    ("variant", "others"),
    [
        ("thread-per-connection", 2),
        ("select", 2),
        ("poll", 2),
        ("epoll-lt", 2),
        ("epoll-et", 3),
    ],
)
def test_the_calls_of_an_echo_are_those_of_its_mechanism(
    run_load: Load, variant: str, others: int
) -> None:
    run = run_load(spec(xrayed(60, 50), **COUNTED))
    run.serve([built(variant)])

    ended = run.to_end()
    assert ended["event"] == "done", ended

    assert run.of("cell") == []
    (found,) = run.of("xray")
    assert (found["scenario"], found["connections_requested"], found["active"]) == ("idle", 60, 50)
    assert found["reason"] is None
    calls, echoes = found["syscalls"], found["echoes"]
    waits = sum(count for name, count in calls.items() if name in WAITS)
    rest = sum(calls.values()) - waits
    assert echoes >= 50
    # A crowded host may hold the server up until a connection has two messages: one call for both,
    # and one recv less that finds nothing
    assert (others - 0.5) * echoes <= rest <= others * echoes + 2
    if variant == "thread-per-connection":
        assert waits == 0
    else:
        assert echoes / 50 <= waits <= echoes + 2
    assert run.server is not None
    assert run.server.poll() is None  # the tracer has let go of it


@needs_strace
def test_a_server_of_too_many_tasks_is_not_traced_and_says_so(run_load: Load) -> None:
    run = run_load(spec(xrayed(xray.TASKS_MAX + 100, 20), **COUNTED))
    run.serve([built("thread-per-connection")])

    ended = run.to_end()
    assert ended["event"] == "done", ended

    (found,) = run.of("xray")
    assert found["syscalls"] is None
    assert "tasks; strace is attached to 1,100 at most" in found["reason"]


def test_a_host_without_the_tracer_says_so(
    run_load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for tool in ("unshare", "nsenter", "ip"):
        if path := shutil.which(tool):
            (tmp_path / tool).symlink_to(path)
    server = built("epoll-lt")
    monkeypatch.setenv("PATH", str(tmp_path))
    run = run_load(spec(xrayed(20, 10), **COUNTED))
    run.serve([server])

    ended = run.to_end()
    assert ended["event"] == "done", ended

    (found,) = run.of("xray")
    assert (found["tool"], found["syscalls"]) == (None, None)
    assert found["reason"] == "strace is not installed here"
