"""The doctor on the x-ray: which tool counts system calls, or the reason of each."""

from __future__ import annotations

from typing import Any

import pytest

from harness import doctor
from harness.doctor import Ask, Facts, Finding

PROCESS = Ask(connections=100, backend="process")
DOCKER = Ask(connections=100, backend="docker")
STRACE = {"has_strace": True, "kernel_yama_ptrace_scope": 0}
PERF = {"has_perf": True, "perf_exempt": True, "has_tracepoints": True}
REFUSED = {"kernel_yama_ptrace_scope": 1}


def found(ask: Ask, **facts: Any) -> Finding:
    (one,) = doctor.examine(Facts(**facts), ask, ["x-ray"]).findings
    return one


def test_strace_counts_where_it_may_attach_and_root_always_may() -> None:
    assert found(PROCESS, **STRACE).level == "ok"
    assert found(PROCESS, **STRACE | REFUSED).level == "note"
    assert found(PROCESS, **STRACE | REFUSED, ptrace_exempt=True).level == "ok"
    assert found(PROCESS, **STRACE | PERF).text.endswith("by strace")


@pytest.mark.parametrize("lack", [{"has_strace": False}, REFUSED])
def test_perf_counts_where_strace_cannot_and_the_doctor_says_why(lack: dict[str, Any]) -> None:
    one = found(PROCESS, **STRACE | PERF | lack)

    assert one.level == "ok"
    assert "by perf: strace" in one.text


@pytest.mark.parametrize(
    ("lack", "reason"),
    [
        ("has_perf", "perf is not installed"),
        ("perf_exempt", "perf needs root"),
        ("has_tracepoints", "perf finds no tracepoints"),
    ],
)
def test_where_no_tool_counts_the_doctor_has_the_reason_of_both(lack: str, reason: str) -> None:
    one = found(PROCESS, **STRACE | PERF | {"has_strace": False, lack: False})

    assert one.level == "note"
    assert f"strace is not installed; {reason}" in one.text
    assert one.command == "sudo apt-get install strace"


def test_the_load_of_a_container_may_trace_whatever_the_harness_may() -> None:
    assert found(DOCKER, **PERF, kernel_yama_ptrace_scope=2).text.endswith("by strace")

    one = found(DOCKER, **PERF, kernel_yama_ptrace_scope=3, ptrace_exempt=True)

    assert one.level == "note"
    assert one.text.endswith("strace may not attach to a server; a container may not use perf")
    assert one.command == "sudo sysctl -w kernel.yama.ptrace_scope=2"
