"""The self-test at real sockets, alone in a network namespace and through the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.contract.selftest_spec import SelftestSpec
from harness.gates import generator_fitness
from harness.load.selftest.scenes import SCENES
from harness.plan.limits import SYSCTLS

pytestmark = pytest.mark.timing

ROOT = Path(__file__).resolve().parents[2]
CPUS = sorted(os.sched_getaffinity(0))
UNSHARE = ("unshare", "--user", "--map-root-user", "--net")
TASK = SelftestSpec(
    server_cpus=(CPUS[-1],),
    load_cpus=(CPUS[0],),
    spin=True,
    skip=(),
    sysctls=dict(SYSCTLS),
    prepare_namespace=True,
)


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    """The figures of every scene."""
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "harness.load.selftest"],
        cwd=ROOT,
        env=os.environ | TASK.variables(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["figures"] * len(SCENES), done.stderr
    return {event["id"]: event["figures"] for event in events}


def verdicts(figures: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {row.id: row.verdict for row in generator_fitness.judge(figures, {}, 0.0).rows}


def test_every_fault_of_the_server_is_caught_exactly(told: dict[str, dict[str, Any]]) -> None:
    # Counts, which a busy machine does not change.
    assert {name: verdicts(told)[name] for name in ("corrupt", "drop")} == {
        "corrupt": "pass",
        "drop": "pass",
    }


def test_a_latency_is_never_told_shorter_than_it_was(told: dict[str, dict[str, Any]]) -> None:
    # A busy machine makes latencies longer, and these bounds have no upper end.
    distribution, stall = told["distribution"], told["stall"]
    for name, known_ms in distribution["known_ms"].items():
        assert distribution["observed_ms"][name] >= known_ms * 0.99, name
    assert stall["p99_s"] >= 0.22
    assert stall["max_s"] >= 0.2475
    assert told["late"]["late_share"] >= 0.009


def test_a_backlog_admits_one_more_than_its_size_and_the_rest_wait_for_their_second_syn(
    told: dict[str, dict[str, Any]],
) -> None:
    found = told["backlog"]

    assert found["admitted"] == found["backlog"] + 1
    assert found["late"] > 0
    assert found["waited_s"] >= 0.9


def test_each_check_has_figures_and_messages_under_way_are_accounted_for(
    told: dict[str, dict[str, Any]],
) -> None:
    assert set(told) - {"backlog"} == {check.scene for check in generator_fitness.CHECKS}
    assert told["ceiling"]["outstanding"] == pytest.approx(told["ceiling"]["active"], rel=0.02)


@pytest.mark.slow
def test_the_command_says_what_it_found_and_ends_accordingly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "selftest", "--backend", "process", "--json"],
        cwd=ROOT,
        env={**os.environ, "C10K_LOCK": str(tmp_path / "lock")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = json.loads(done.stdout)

    assert found["schema"] == 1
    rows = {row["id"]: row for row in found["checks"]}
    assert set(rows) == {check.id for check in generator_fitness.CHECKS}
    # Counts are exact on any machine; what is a time may come late on a busy one
    assert [rows[name]["verdict"] for name in ("corrupt", "drop")] == ["pass", "pass"], rows
    passed = all(row["verdict"] == "pass" for row in found["checks"])
    assert (found["passed"], done.returncode) == (passed, 0 if passed else 3)
