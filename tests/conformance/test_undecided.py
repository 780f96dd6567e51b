"""A check that failed for lack of time, while others had the server's CPUs, accuses no server."""

from __future__ import annotations

from typing import Any

import pytest

from harness.campaign.conformance_run import Verdict
from harness.cli.commands.check import exit_code, summary
from harness.conformance.suite_results import (
    CheckResult,
    End,
    Failed,
    Wrong,
    conclude,
    score,
    undecided,
)
from harness.contract.errors import Exit
from harness.contract.stored_campaign import StoredVariant
from harness.contract.suite_events import Expected

OTHERS = "other processes used 48 % of the server's CPU"


def result(status: Any, identity: str = "T1") -> CheckResult:
    return CheckResult(identity, "a name", "data", status, "a text", "", 0.1)


def verdict(*results: CheckResult, failure: tuple[str, str] | None = None) -> Verdict:
    return Verdict("mine", "quick", results, failure)


def test_a_failure_is_undecided_by_name_and_number() -> None:
    found = undecided(result("fail"), OTHERS)

    assert (found.status, found.explanation) == ("undecided", "")
    assert found.text == f"a text; not decided: {OTHERS} meanwhile"


def test_what_is_undecided_did_not_pass_and_did_not_fail() -> None:
    found = verdict(result("pass"), result("undecided", "T2"))

    assert not score(found.results).conforms
    assert (found.conforms, found.failed, found.is_undecided) == (False, (), True)
    assert found.summary == "1 of 2 conformance checks passed; T2 a name: a text"
    assert summary([found]).endswith("0 of 1 runs passed: T2 a name, not decided (1)")
    assert found.kept().as_json()["failures"] == []
    # Nothing proved it right: it is not ranked
    assert StoredVariant.of({"conformance": found.kept().as_json()}).is_nonconforming


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (verdict(result("pass")), Exit.OK),
        (verdict(result("undecided")), Exit.GATE_FAILED),
        (verdict(result("undecided"), result("fail")), Exit.SERVER_FAULT),
        (verdict(failure=("disturbed", "others")), Exit.GATE_FAILED),
        (verdict(failure=("not-ready", "late")), Exit.SERVER_FAULT),
    ],
)
def test_only_what_is_decided_is_exit_code_4(found: Verdict, expected: Exit) -> None:
    assert exit_code([verdict(result("pass")), found]) is expected


def test_a_wrong_byte_stays_one_whatever_was_under_way() -> None:
    assert Failed("late").timed
    assert not Wrong("byte 3").timed

    wrapped = Wrong("byte 3 came back wrong").within("sent 10 bytes")
    assert (type(wrapped), str(wrapped)) == (Wrong, "sent 10 bytes: byte 3 came back wrong")
    assert Failed("late", span_s=5.5).within("at its start").span_s == 5.5


def concluded(what: str, end: End, **members: Any) -> CheckResult:
    head = {"id": "T23", "name": "a name", "group": "lifecycle", "server": "other"}
    event = Expected(**{**head, "explanation": "because", "what": what, **members})
    (found,) = conclude([event], {"other": end})
    return found


@pytest.mark.parametrize(("what", "members"), [("clean-exit", {}), ("refusal", {"env": {}})])
def test_an_end_that_did_not_come_in_time_beside_others_is_undecided(
    what: str, members: dict[str, Any]
) -> None:
    assert concluded(what, End(None, "", OTHERS), **members).status == "undecided"
    assert concluded(what, End(None, ""), **members).status == "fail"
    # It ended, and with the wrong status: time has nothing to do with that
    wrong = 3 if what == "clean-exit" else 0
    assert concluded(what, End(wrong, "oh", OTHERS), **members).status == "fail"
