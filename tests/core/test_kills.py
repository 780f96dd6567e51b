"""What the script that kills campaigns takes for a loss."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

from bench_kills import KINDS, Kept, codes_allowed, lost, not_exactly, planned

from harness.errors import Exit


def outcome(trial: str, code: str = "") -> dict[str, Any]:
    return {"trial": trial, "outcome": "failed" if code else "done", "code": code}


def kept(*outcomes: dict[str, Any], cells: int = 0) -> Kept:
    return Kept(tuple({"cell": number} for number in range(cells)), outcomes)


def test_forty_kills_are_four_of_each_kind_at_moments_of_a_seed() -> None:
    kills = planned(40, seed=7)

    assert Counter((kill.victim, kill.by) for kill in kills) == dict.fromkeys(KINDS, 4)
    assert ("harness", signal.SIGHUP) in KINDS
    assert kills == planned(40, seed=7) != planned(40, seed=8)


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
