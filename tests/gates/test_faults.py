"""Whose fault a failure is: the server's, or of those that had its CPUs. Every code, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import gates
from harness.campaign import trial_ends
from harness.contract.errors import Exit
from harness.contract.record import VariantFacts
from harness.contract.stored_cell import StoredCell
from harness.gates.failure_excuses import HIDDEN, evidence, reason
from harness.gates.server_faults import DISTURBED, FAULTS, SERVER_CODES, fault_of, judged
from harness.host.wait_budget import Spent

S = 1_000_000_000
METHOD = Path(__file__).parents[2] / "docs/method.md"
# Every code that can accuse a server, and whether a busy host can cause it
TIMED = {
    "nonconforming": False,
    "build-failed": False,
    "no-process": False,
    "not-started": False,
    "not-ready": True,
    "server-died": False,
    "wrong-echo": False,
    "held-fewer": True,
    "corrupt": False,
    "lost": False,
    "outside-cpus": False,
    "escaped": False,
    "unanswered": True,
    "no-exit": True,
    "bad-exit": False,
    "miscounted": False,
}


def spent(
    *, server: float | None = 0.2, others: float = 0.0, steal: float = 0.0, load: float = 0.0
) -> Spent:
    """Shares of one CPU in a wait of 10 s."""
    busy_ns = round(((server or 0.0) + others) * 10 * S)
    return Spent(
        span_ns=10 * S,
        cpus=1,
        server_ns=None if server is None else round(server * 10 * S),
        busy_ns=busy_ns,
        steal_ns=round(steal * 10 * S),
        load_wait_ns=round(load * 10 * S),
        exact_ns=0,
    )


def failed(code: str, wait: Spent | None, text: str = "too late") -> dict[str, Any]:
    """A cell that failed."""
    cell = {"scenario": "idle", "connections_requested": 50, "corrupt_bytes": 0, "lost": 0}
    members = {"failure": {"code": code, "text": text}, "wait": wait.as_json() if wait else None}
    return cell | members


def test_every_code_is_in_the_table_of_the_documentation_with_its_reason() -> None:
    assert {fault.code: fault.timed for fault in FAULTS} == TIMED
    rows = [(f"`{one.code}`", "yes" if one.timed else "no", one.because) for one in FAULTS]
    assert "\n".join(f"| {' | '.join(row)} |" for row in rows) in METHOD.read_text()
    assert TIMED.keys() == SERVER_CODES
    assert all(len(fault.because) > 20 for fault in FAULTS)


@pytest.mark.parametrize("code", TIMED)
def test_a_fault_is_the_server_s_where_its_cpus_were_its_own(code: str) -> None:
    assert judged((code, "text"), reason(spent())) == (code, "text")


@pytest.mark.parametrize("code", TIMED)
def test_beside_others_only_what_depends_on_time_accuses_no_server(code: str) -> None:
    found, text = judged((code, "text"), reason(spent(others=0.48)))

    if not TIMED[code]:
        assert (found, text) == (code, "text")
        return
    assert found == DISTURBED
    assert text.startswith("text. This is not held against the server: other processes used 48 %")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (spent(others=0.12), "other processes used 12 % of the server's CPU"),
        (spent(others=0.48), "other processes used 48 % of the server's CPU"),
        (spent(others=0.11, server=0.89), "other processes used 11 % of the server's CPU"),
        (spent(others=0.05, steal=0.08), "used 5 % of the server's CPU (the hypervisor took 8 %)"),
        (spent(load=0.3), "the load waited for a CPU for 30 % of the time"),
        (spent(others=0.5, load=0.3), "of the server's CPU and the load waited for a CPU"),
        (spent(server=None, others=0.9), "was busy for 90 %, of which the server's own part"),
    ],
)
def test_a_disturbance_says_who_took_how_much(found: Spent, words: str) -> None:
    assert words in (reason(found) or "")


@pytest.mark.parametrize(
    "found",
    [
        spent(),
        spent(server=1.0),
        spent(others=0.09),
        spent(steal=0.09),
        spent(load=0.09),
        spent(server=None, others=0.05),
    ],
)
def test_a_server_with_its_cpus_to_itself_was_not_disturbed(found: Spent) -> None:
    assert reason(found) is None


def test_ticks_that_are_too_coarse_show_no_disturbance() -> None:
    short = Spent(S, 1, 0, S // 5, 0, 0, exact_ns=0)
    assert reason(short) is not None
    assert reason(Spent(**short.as_json() | {"exact_ns": S // 8})) is None


def test_a_ramp_that_was_over_at_once_was_disturbed_by_nobody() -> None:
    """As of a server that refuses: in 12 ms the load's own threads wait for each other for 1.4."""
    assert reason(Spent(12_000_000, 1, 1_000_000, 9_000_000, 0, 1_400_000, 0)) is None


def test_what_the_kernel_hides_accuses_no_server() -> None:
    assert reason(None) == HIDDEN
    assert reason(Spent(**spent().as_json() | {"busy_ns": None})) == HIDDEN


@pytest.mark.parametrize("code", ["held-fewer", "not-settled", "not-reached"])
def test_a_failed_cell_is_disturbed_by_what_its_wait_shows(code: str) -> None:
    quiet, busy = failed(code, spent()), failed(code, spent(others=0.5))

    assert "disturbed" not in dict(gates.judge(StoredCell.of(quiet), VariantFacts()).reasons)
    verdict = gates.judge(StoredCell.of(busy), VariantFacts())
    assert (verdict.status, "disturbed" in dict(verdict.reasons)) == ("void", True)
    # A server that is driven from outside has no CPUs of its own to be seen
    assert "disturbed" not in dict(
        gates.judge(StoredCell.of(busy), VariantFacts(unseen=True)).reasons
    )


def test_a_cell_that_failed_between_its_turns_is_judged_by_those() -> None:
    charged = {"cpu_ns": S, "busy_ns": 6 * S, "span_ns": 10 * S, "cpus": 1}
    cell = failed("held-fewer", None) | {"server": {"charged": charged}}

    assert reason(evidence(StoredCell.of(cell))) == "other processes used 50 % of the server's CPU"
    assert evidence(StoredCell.of(failed("held-fewer", None))) is None


def test_a_cell_that_a_busy_host_did_not_fail_is_not_disturbed() -> None:
    died = failed("server-died", spent(others=0.9))
    assert "disturbed" not in dict(gates.judge(StoredCell.of(died), VariantFacts()).reasons)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (failed("held-fewer", None), "held-fewer"),
        (failed("not-settled", None), "unanswered"),
        (failed("", None) | {"failure": None, "lost": 1}, "lost"),
        (failed("", None) | {"failure": None, "corrupt_bytes": 1}, "corrupt"),
        (failed("", None) | {"failure": None, "churn": {"failed": 2}}, "lost"),
    ],
)
def test_what_a_cell_shows_of_a_server(cell: dict[str, Any], code: str) -> None:
    assert (fault_of(StoredCell.of(cell), declares_ceiling=False) or ("", ""))[0] == code


def ended(trial: str, outcome: str, code: str = "") -> dict[str, Any]:
    return {"trial": trial, "variant": trial[2:], "outcome": outcome, "code": code}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([ended("1-a", "done")], Exit.OK),
        ([ended("1-a", "failed", "not-available")], Exit.OK),
        ([ended("1-a", "failed", "disturbed")], Exit.GATE_FAILED),
        ([ended("1-a", "done", "disturbed")], Exit.GATE_FAILED),
        ([ended("1-a", "failed", "no-capacity")], Exit.GATE_FAILED),
        ([ended("1-a", "failed", "disturbed"), ended("1-a", "done")], Exit.OK),
        ([ended("1-a", "done", "disturbed"), ended("1-a", "failed", "lost")], Exit.SERVER_FAULT),
        ([ended("1-a", "failed", "disturbed"), ended("1-b", "failed", "lost")], Exit.SERVER_FAULT),
        ([ended("1-a", "failed", "lost"), ended("1-b", "failed", "load-died")], Exit.BUG),
        *(([ended("1-a", "failed", code)], Exit.SERVER_FAULT) for code in TIMED),
    ],
)
def test_only_a_server_s_fault_is_exit_code_4(
    outcomes: list[dict[str, Any]], expected: Exit
) -> None:
    assert trial_ends.exit_code(outcomes) is expected
