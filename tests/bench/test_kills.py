"""What the script that kills campaigns takes for a loss."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import kill_table
import pytest
from bench_kills import (
    DOCKER_KINDS,
    PROCESS_KINDS,
    Kept,
    Kill,
    codes_allowed,
    explained,
    lost,
    not_exactly,
    planned,
)
from kill_table import Fault, Told

from harness.contract.errors import Exit


def outcome(trial: str, code: str = "") -> dict[str, Any]:
    return {"trial": trial, "outcome": "failed" if code else "done", "code": code}


def kept(*outcomes: dict[str, Any], cells: int = 0) -> Kept:
    return Kept(tuple({"cell": number} for number in range(cells)), outcomes)


def test_forty_kills_are_four_of_each_kind_at_moments_of_a_seed() -> None:
    kills = planned(40, 7, PROCESS_KINDS)

    assert Counter((kill.victim, kill.by) for kill in kills) == dict.fromkeys(PROCESS_KINDS, 4)
    assert ("harness", signal.SIGHUP) in PROCESS_KINDS
    assert ("engine", signal.SIGKILL) in DOCKER_KINDS
    assert kills == planned(40, 7, PROCESS_KINDS) != planned(40, 8, PROCESS_KINDS)


@pytest.mark.parametrize("kind", DOCKER_KINDS, ids=lambda one: getattr(one, "name", one))
def test_no_kill_explains_an_end_by_a_bug(kind: tuple[Any, signal.Signals]) -> None:
    victim, by = kind
    kill = Kill(1, victim, by, 0.5)

    assert not explained(kill, Exit.BUG, hit=True)
    assert not explained(kill, Exit.BUG, hit=False)
    assert explained(kill, Exit.OK, hit=True) == (victim != "harness")


def test_sigkill_of_the_harness_ends_it_by_that_signal() -> None:
    kill = Kill(1, "harness", signal.SIGKILL, 0.5)

    assert explained(kill, -signal.SIGKILL, hit=True)
    assert not explained(kill, Exit.INTERRUPTED, hit=True)


def test_the_table_counts_the_faults_of_each_kind_of_kill() -> None:
    whole = Told("process", 1, "load", "SIGTERM", 0.5, True, 130, 3, ())
    torn = Told("process", 2, "load", "SIGTERM", 0.9, True, 130, 7, (Fault("lost", "a cell"),))

    rows = kill_table.table([Told.of(whole.line()), Told.of(torn.line())]).splitlines()

    assert rows[-2:] == [
        "| process | load | SIGTERM | 2 | 130 (2 times) | 2 | 1 | 0 | 0 |",
        "| | | all | 2 | | 2 | 1 | 0 | 0 |",
    ]
    assert kill_table.faults([whole, torn]) == ["- process, load SIGTERM at 90%: a cell"]


def test_a_cell_or_an_outcome_that_is_gone_or_changed_is_lost() -> None:
    before = kept(outcome("1-poll"), cells=2)

    assert lost(before, kept(outcome("1-poll"), outcome("2-poll"), cells=3)) == []
    assert len(lost(before, kept(cells=1))) == 2
    assert len(lost(before, kept(outcome("1-poll", "lost"), cells=2))) == 1


def test_a_resume_runs_neither_more_nor_less_than_what_has_no_result() -> None:
    trials = ["1-poll", "2-poll"]
    before = kept(outcome("1-poll"), outcome("2-poll", "load-died"))
    whole = kept(*before.outcomes, outcome("2-poll"))

    assert not_exactly(trials, before, whole) == []
    assert len(not_exactly(trials, before, before)) == 2
    assert len(not_exactly(trials, before, kept(*whole.outcomes, outcome("1-poll")))) == 1


def test_only_a_server_that_was_killed_lets_a_resume_end_with_another_code() -> None:
    assert codes_allowed(kept(outcome("1-poll"))) == {Exit.OK}
    assert codes_allowed(kept(outcome("1-poll", "server-died"))) == {Exit.SERVER_FAULT}
