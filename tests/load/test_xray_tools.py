"""Counting the system calls of an echo: what the tools write, and each tool on a real server."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from load_trials import SERVERS, LoadRun, cell, spec, vanish

from harness import doctor
from harness.doctor import Ask
from harness.host import survey
from harness.host.facts import Engine
from harness.load.tracing import perf, strace
from harness.load.tracing.tracer import Refused
from harness.load.watch import Watch

Load = Callable[[dict[str, Any]], LoadRun]

STRACE_SUMMARY = """\
    calls syscall
--------- ----------------
     1204 recvfrom
     1204 sendto
      302 epoll_wait
--------- ----------------
     2710 total
"""
# perf 6.1 on a thread per connection, two of its threads.
PERF_SUMMARY = """

 Summary of events:

 thread-per-conn (26880), 12 events, 1.7%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   recvfrom               3      0    11.762     0.000     3.921     6.764     51.66%
   sendto                 3      0     0.040     0.013     0.013     0.014      3.09%


 thread-per-conn (26881), 12 events, 1.7%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   recvfrom               3      0    11.768     0.000     3.923     6.775     51.69%
   sendto                 3      0     0.041     0.013     0.014     0.014      4.13%

"""
# perf 6.1 with a buffer of one page.
PERF_LOST = "Warning:\nProcessed 796560 events and lost 11168 chunks!\n\nCheck IO/CPU overload!\n"
PERF_LOST_SAMPLES = "Warning:\nProcessed 1200583 samples and lost 39.68%!\n"


def test_the_summary_of_strace_is_read_without_its_total() -> None:
    assert strace.calls(STRACE_SUMMARY) == {"recvfrom": 1204, "sendto": 1204, "epoll_wait": 302}
    assert strace.calls("") == {}


def test_the_summary_of_perf_is_added_up_over_its_threads() -> None:
    assert perf.calls(PERF_SUMMARY) == {"recvfrom": 6, "sendto": 6}
    assert perf.calls("") == {}


def test_a_record_that_lost_calls_is_told_from_one_that_did_not() -> None:
    assert perf.has_lost(PERF_LOST)
    assert perf.has_lost(PERF_LOST_SAMPLES)
    assert not perf.has_lost(PERF_SUMMARY)


def refused(tool: str, command: Sequence[str]) -> str | None:
    """Why this tool cannot count here, None when it can."""
    if shutil.which(tool) is None:
        return f"{tool} is not installed"
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=60, check=False
        )
    return None if done.returncode == 0 else f"{tool} is refused: {done.stderr[-200:]}"


REFUSED = {
    "strace": refused("strace", ["strace", "-c", "true"]),
    "perf": refused(
        *("perf", [*perf.alone(), "perf", "trace", "record", "--no-buildid", "-o", "x", "true"])
    ),
}


def path_with(directory: Path, *tools: str) -> str:
    """A PATH on which there are these tools, and no others that count."""
    for tool in ("unshare", "nsenter", "ip", *tools):
        if path := shutil.which(tool):
            (directory / tool).symlink_to(path)
    return str(directory)


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


CLONE_NEWNS = 0x20000  # linux/sched.h
ATTACHED_S = 20.0


def unmount_tracefs() -> None:
    """Give this thread, and what it starts, mounts of its own in which there is no tracefs.

    Nor debugfs, in which the kernel mounts tracefs for whoever looks.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["umount", "--all", "--types", "tracefs,debugfs"], check=True)


def mounts() -> str:
    """What is mounted for this thread."""
    return Path("/proc/thread-self/mounts").read_text()


WAITS = {"select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait"}
OTHERS = {"thread-per-connection": 2, "select": 2, "poll": 2, "epoll-lt": 2, "epoll-et": 3}
needs_strace = pytest.mark.skipif(REFUSED["strace"] is not None, reason=REFUSED["strace"] or "")
needs_perf = pytest.mark.skipif(REFUSED["perf"] is not None, reason=REFUSED["perf"] or "")
with_each_tool = pytest.mark.parametrize(
    "tool", [pytest.param("strace", marks=needs_strace), pytest.param("perf", marks=needs_perf)]
)


@with_each_tool
@pytest.mark.parametrize("variant", OTHERS)
def test_the_calls_of_an_echo_are_those_of_its_mechanism(
    run_load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variant: str, tool: str
) -> None:
    server = built(variant)
    monkeypatch.setenv("PATH", path_with(tmp_path, tool))
    others = OTHERS[variant]
    run = run_load(spec(xrayed(60, 50), **COUNTED))
    run.serve([server])

    ended = run.to_end()
    assert ended["event"] == "done", ended

    assert run.of("cell") == []
    (found,) = run.of("xray")
    assert (found["scenario"], found["connections_requested"], found["active"]) == ("idle", 60, 50)
    assert (found["tool"], found["reason"]) == (tool, None)
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
def test_a_server_of_too_many_tasks_is_not_traced_and_says_so(
    run_load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = built("thread-per-connection")
    monkeypatch.setenv("PATH", path_with(tmp_path, "strace"))
    run = run_load(spec(xrayed(strace.TASKS_MAX + 100, 20), **COUNTED))
    run.serve([server])

    ended = run.to_end()
    assert ended["event"] == "done", ended

    (found,) = run.of("xray")
    assert found["syscalls"] is None
    assert "tasks; strace is attached to 1,100 at most; perf is not" in found["reason"]


@needs_perf
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's perf mounts anything")
def test_perf_leaves_no_file_system_mounted_on_the_host(
    run_load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = built("epoll-lt")
    monkeypatch.setenv("PATH", path_with(tmp_path, "perf", "mount", "umount"))

    def count() -> None:
        before = mounts()
        assert "tracefs" not in before
        run = run_load(spec(xrayed(20, 10), **COUNTED))
        run.serve([server])

        assert run.to_end()["event"] == "done"

        assert run.of("xray")[0]["tool"] == "perf"
        assert mounts() == before

    with ThreadPoolExecutor(1, initializer=unmount_tracefs) as pool:
        pool.submit(count).result()


@with_each_tool
def test_a_load_that_is_ended_during_an_xray_leaves_neither_the_tool_nor_its_files(
    run_load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str
) -> None:
    programs, temporary = tmp_path / "programs", tmp_path / "temporary"
    programs.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("PATH", path_with(programs, tool))
    monkeypatch.setenv("TMPDIR", str(temporary))
    crowd = xrayed(20, 10)
    crowd["cells"][0]["window_s"] = 60.0
    run = run_load(spec(crowd, **COUNTED))
    run.serve([str(SERVERS / "build" / "epoll-lt")])
    deadline_s = time.monotonic() + ATTACHED_S
    while not (tools := run.workers()) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert tools
    assert list(temporary.iterdir())

    assert run.stop() == -signal.SIGTERM

    assert vanish(tools, 1.0)
    assert list(temporary.iterdir()) == []


def test_a_child_of_the_tool_ends_with_it(
    run_load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """strace has one for its first milliseconds; this one has one for good."""
    programs, child = tmp_path / "programs", tmp_path / "child"
    programs.mkdir()
    server = built("epoll-lt")
    monkeypatch.setenv("PATH", path_with(programs))
    tool = programs / "strace"
    tool.write_text(f"#!/bin/sh\n/bin/sleep 600 &\necho $! >{child}\nwait\n")
    tool.chmod(0o755)
    run = run_load(spec(xrayed(20, 10), **COUNTED))
    run.serve([server])
    deadline_s = time.monotonic() + ATTACHED_S
    while not (child.is_file() and child.read_text()) and time.monotonic() < deadline_s:
        time.sleep(0.01)

    assert run.stop() == -signal.SIGTERM

    assert vanish([int(child.read_text())], 1.0)


@needs_perf
def test_a_perf_that_ends_at_once_is_told_with_its_code_and_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    tool = perf.Perf([ended.pid], Watch())
    try:
        with pytest.raises(
            Refused, match=r"^perf did not begin to count, it ended with code \d+: "
        ):
            tool.attach()
    finally:
        tool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_host_without_a_tool_says_so_of_each(
    run_load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = built("epoll-lt")
    monkeypatch.setenv("PATH", path_with(tmp_path))
    run = run_load(spec(xrayed(20, 10), **COUNTED))
    run.serve([server])

    ended = run.to_end()
    assert ended["event"] == "done", ended

    (found,) = run.of("xray")
    assert (found["tool"], found["syscalls"]) == (None, None)
    assert found["reason"] == "strace is not installed here; perf is not installed here"


def test_the_doctor_says_of_perf_what_perf_does(tmp_path: Path) -> None:
    facts = replace(survey.read(tmp_path, Engine()), has_strace=False)
    (found,) = doctor.examine(facts, Ask(connections=60, backend="process"), ["x-ray"]).findings

    assert found.level == ("note" if REFUSED["perf"] else "ok"), (found.text, REFUSED["perf"])
