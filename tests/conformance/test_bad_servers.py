"""The suite finds each bug where it names it, and nowhere else.

By default a bad server meets the checks that its bug reaches and a set of quick ones, which it is
to pass; C10K_EVERY_CHECK=1 takes each through the whole quick subset.
"""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import replace
from typing import Any

import pytest
from driving import ROOT, Case, Subject, Verdict

from harness.conformance.suite import every_check
from harness.conformance.suite_results import score

DIRECTORY = ROOT / "tests/bad_servers"
BUGS: dict[str, dict[str, Any]] = tomllib.loads((DIRECTORY / "bugs.toml").read_text())
RIGHT = ("right", "right_with_workers")
# Quick, and of every group; together they take two seconds
CONTROL = ("T1", "T2", "T5", "T6", "T8", "T9", "T12", "T13", "T15", "T20", "T24", "T26", "T27")
EVERY_CHECK = os.environ.get("C10K_EVERY_CHECK") == "1"


def subject(name: str) -> Subject:
    command = (sys.executable, str(DIRECTORY / f"{name}.py"))
    return Subject(name, DIRECTORY, command, counters="worker" not in name)


def ceiling(connections_max: int, beyond: str) -> Case:
    """A server that lets the 201st connection wait, and what its variant.toml says of that."""
    declared = replace(
        subject("waits_for_silent_connections"), connections_max=connections_max, beyond=beyond
    )
    only = ("T17",) if connections_max > 200 else ("T1", "T16", "T17", "T20")
    return Case(declared, "full", only)


def case_of(name: str) -> Case:
    bug = BUGS[name]
    if EVERY_CHECK and "checks" not in bug:
        return Case(subject(name))
    only = bug.get("checks") or {*CONTROL, *bug["fails"], *bug.get("may", ())}
    return Case(subject(name), "full" if bug.get("full") else "quick", tuple(sorted(only)))


@pytest.mark.parametrize("case", [case_of(name) for name in BUGS], ids=str)
def test_a_bug_fails_the_check_that_names_it_and_no_other(case: Case, verdict: Verdict) -> None:
    bug = BUGS[case.subject.name]

    assert verdict.failure is None, str(verdict)
    assert set(bug["fails"]) <= verdict.failed <= {*bug["fails"], *bug.get("may", ())}, str(verdict)
    assert all(result.explanation for result in verdict.results if result.status == "fail")


FIXED_PORT = case_of("listens_on_one_port_only")


@pytest.mark.parametrize("case", [FIXED_PORT], ids=str)
def test_a_server_with_a_fixed_port_is_told_of_listen_and_not_of_a_backlog(
    case: Case, verdict: Verdict
) -> None:
    (failed,) = (result for result in verdict.results if result.status == "fail")

    assert failed.text.endswith("s; nothing listens there")
    assert "Take address and port from LISTEN" in failed.explanation


GOOD = [*(Case(subject(name)) for name in RIGHT), Case(subject("right"), on_a_path=True)]


@pytest.mark.parametrize("case", GOOD, ids=str)
def test_the_server_that_the_bugs_are_put_into_is_right(case: Case, verdict: Verdict) -> None:
    assert score(verdict.results).conforms, str(verdict)


@pytest.mark.parametrize(
    ("case", "failed"),
    [
        (ceiling(200, "queue"), set()),
        (ceiling(200, "refuse"), {"T17"}),
        (ceiling(250, "queue"), {"T17"}),
    ],
    ids=str,
)
def test_a_wall_is_no_fault_where_it_is_declared_as_it_is(
    case: Case, failed: set[str], verdict: Verdict
) -> None:
    assert verdict.failed == failed, str(verdict)


def test_every_bad_server_is_in_the_table_and_says_why_when_several_checks_fail() -> None:
    files = {path.stem for path in DIRECTORY.glob("*.py")} - {"common", *RIGHT}

    assert files == set(BUGS)
    for name, bug in BUGS.items():
        several = len(bug["fails"]) > 1 or "may" in bug or "checks" in bug
        assert several == ("why" in bug), name


def test_every_check_is_failed_by_some_bad_server_under_its_own_name() -> None:
    named = {bug["fails"][0] for bug in BUGS.values()}
    # T16 and T20 are about sizes at which these small servers do not fail on their own
    assert {check.id for check in every_check()} - named == {"T8", "T16", "T20"}
