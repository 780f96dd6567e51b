"""What the load does to explain a cell: it asks the server for its counters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from load_trials import FRAIL, PORT, LoadRun, spec, step

from harness.host import procfs

Load = Callable[[dict[str, Any]], LoadRun]


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
