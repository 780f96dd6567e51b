"""Which blocks a campaign's self-tests vouch for: attempts in, reasons out."""

from __future__ import annotations

from typing import Any

import pytest

from harness.contract.stored_campaign import Part, StoredHead
from harness.gates import proof_coverage
from harness.gates.generator_fitness import PARTS

BLOCKS = (1, 2, 3, 4, 5)


def attempt(after: int, *failed: Part) -> dict[str, Any]:
    checks = [
        {"verdict": "fail", "proves": part, "title": f"T{after}", "observed": "7"}
        for part in failed
    ]
    return {"after_block": after, "passed": not failed, "checks": checks}


def campaign(*attempts: dict[str, Any], state: str = "done", blocks: int = 5) -> StoredHead:
    kept = attempts[-1] | {"earlier": list(attempts[:-1])}
    plan = [{"block": block} for block in range(blocks + 1)]
    return StoredHead.of({"selftest": kept, "state": state, "plan": plan})


def vouched(head: StoredHead, part: Part = "ranking") -> list[int]:
    lacking = proof_coverage.without(head, part, BLOCKS)
    return [block for block in BLOCKS if block not in lacking]


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([attempt(0)], [1]),
        ([attempt(0), attempt(2), attempt(4)], [1, 2, 3, 4, 5]),
        ([attempt(0, "ranking"), attempt(1, "ranking"), attempt(2)], [2, 3]),
        ([attempt(0), attempt(2, "ranking"), attempt(3)], [1, 3, 4]),
        ([attempt(0, "ranking"), attempt(0)], [1]),
        # A resume in front of block 2: the host of then no longer speaks for what comes
        ([attempt(1), attempt(1, "ranking")], [1]),
        ([attempt(1), attempt(1, "ranking"), attempt(2)], [1, 2, 3]),
        ([attempt(0, "latency"), attempt(2, "latency"), attempt(4)], [1, 2, 3, 4, 5]),
    ],
)
def test_a_pass_vouches_for_the_blocks_next_to_it_and_no_others(
    attempts: list[dict[str, Any]], expected: list[int]
) -> None:
    assert vouched(campaign(*attempts)) == expected


def test_each_part_of_a_block_has_its_own_proof() -> None:
    head = campaign(attempt(0, "latency"), attempt(2, "ranking"), attempt(4))

    assert vouched(head, "ranking") == [1, 4, 5]
    assert vouched(head, "latency") == [2, 3, 4, 5]


def test_a_block_that_nothing_vouches_for_has_the_reason() -> None:
    head = campaign(attempt(0, "ranking"), attempt(2, "ranking"), attempt(4))

    assert "block 1: the generator failed its self-test (T0: 7" in proof_coverage.why_not(
        head, "ranking", 1
    )
    assert proof_coverage.why_not(campaign(attempt(0)), "ranking", 3).endswith("is next to block 3")


def test_capacities_are_next_to_what_ran_before_them() -> None:
    assert proof_coverage.why_not(campaign(attempt(0)), "ranking", 0) == ""
    assert proof_coverage.why_not(campaign(attempt(0, "ranking"), attempt(1)), "ranking", 0) != ""


def test_without_a_self_test_nothing_is_missing() -> None:
    head = StoredHead.of({"state": "done", "plan": [{"block": 1}]})

    assert [proof_coverage.why_none(head, part) for part in PARTS] == ["", ""]
    assert vouched(head) == [*BLOCKS]


def test_only_where_no_block_is_left_there_is_a_reason_for_all() -> None:
    failing = campaign(attempt(0, "ranking"), attempt(1, "ranking"))

    assert "T1: 7" in proof_coverage.why_none(failing, "ranking")
    assert proof_coverage.why_none(failing, "latency") == ""
    assert proof_coverage.why_none(campaign(attempt(0, "ranking"), attempt(5)), "ranking") == ""


def test_the_latest_block_of_a_running_campaign_waits_for_its_attempt_behind_a_pass() -> None:
    assert vouched(campaign(attempt(0), state="running")) == [*BLOCKS]
    assert vouched(campaign(attempt(0), state="interrupted")) == [1]
    assert vouched(campaign(attempt(0, "ranking"), state="running")) == []
    late = campaign(attempt(0), attempt(2, "ranking"), state="running")
    assert vouched(late) == [1]


@pytest.mark.parametrize(("passed", "expected"), [(True, [*BLOCKS]), (False, [])])
def test_an_attempt_from_before_places_speaks_for_the_whole_campaign(
    passed: bool, expected: list[int]
) -> None:
    failed = {"passed": False, "checks": [{"verdict": "fail", "title": "T", "observed": "7"}]}
    last = {"passed": True} if passed else failed

    head = campaign(failed, last)

    assert vouched(head) == expected
    assert bool(proof_coverage.why_none(head, "ranking")) is not passed
