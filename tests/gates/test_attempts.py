"""Which attempt speaks for a cell: the last one, whatever it shows."""

from __future__ import annotations

from typing import Any

import pytest

from harness.contract.stored_campaign import StoredOutcome
from harness.contract.stored_cell import StoredCell
from harness.gates.attempts import Attempts, has_disturbed, left_out, spent, to_repeat


def cell(number: int, attempt: int, status: str = "valid", **more: Any) -> StoredCell:
    line = {"trial": "1-poll", "cell": number, "attempt": attempt, "status": status}
    return StoredCell.of(line | more)


def ended(
    attempt: int, repeats: tuple[int, ...] = (), code: str = "", **more: Any
) -> StoredOutcome:
    line = {"trial": "1-poll", "attempt": attempt, "repeats": list(repeats), "code": code}
    return StoredOutcome.of(line | more)


def used(records: list[StoredCell], outcomes: list[StoredOutcome]) -> list[tuple[int, int]]:
    return [(one.cell, one.attempt) for one in Attempts(records, outcomes).used(records)]


def test_a_trial_that_ran_twice_as_a_whole_counts_by_the_run_that_ended() -> None:
    records = [cell(0, 1), cell(1, 1), cell(0, 2), cell(1, 2)]

    assert used(records, [ended(2)]) == [(0, 2), (1, 2)]
    assert used(records, [ended(1)]) == [(0, 1), (1, 1)]
    assert used(records, []) == [(0, 2), (1, 2)]


def test_a_cell_that_was_measured_again_counts_by_the_last_time_and_the_others_stay() -> None:
    records = [cell(0, 1), cell(1, 1, "noisy"), cell(1, 2, "noisy"), cell(1, 3, "void")]
    outcomes = [ended(1), ended(2, (1,)), ended(3, (1,))]

    assert used(records, outcomes) == [(0, 1), (1, 3)]
    assert used(records[:3], outcomes[:2]) == [(0, 1), (1, 2)]


def test_an_attempt_that_was_cut_short_or_failed_beside_the_server_speaks_for_nothing() -> None:
    records = [cell(0, 1), cell(1, 1, "noisy"), cell(1, 2)]

    assert used(records, [ended(1)]) == [(0, 1), (1, 1)]
    assert used(records, [ended(1), ended(2, (1,), "load-died")]) == [(0, 1), (1, 1)]


@pytest.mark.parametrize("code", ["build-failed", "nonconforming", "load-suite"])
def test_what_never_began_takes_nothing_from_what_was_measured(code: str) -> None:
    """As on a resume to measure noisy cells again, of a server that does not build any more."""
    records = [cell(0, 1), cell(1, 1, "noisy")]

    assert used(records, [ended(1), ended(2, code=code)]) == [(0, 1), (1, 1)]


def test_a_cell_is_not_measured_when_its_server_died_in_the_last_attempt() -> None:
    """The noisy figure from before is not taken instead: that would be a choice."""
    records = [cell(0, 1), cell(1, 1, "noisy")]

    assert used(records, [ended(1), ended(2, (1,), "server-died")]) == [(0, 1)]


@pytest.mark.parametrize("noise", ["load-waited", "shared-cpu", "steal"])
@pytest.mark.parametrize("void", ["not-reachable", "not-served", "little", "cpu-time"])
def test_what_others_on_the_cpus_voided_is_tried_again_and_nothing_else(
    void: str, noise: str
) -> None:
    missed, disturbed, lost = [void, "by far"], [noise, "27%"], ["lost", "1"]
    reasons = [[missed, disturbed], [missed], [missed, disturbed, lost], [disturbed]]
    records = [cell(number, 1, "void", reasons=some) for number, some in enumerate(reasons)]

    assert to_repeat(records, [ended(1)], "1-poll") == [0]


def test_a_profile_may_leave_noisy_cells_to_its_other_blocks() -> None:
    noisy = cell(0, 1, "noisy", reasons=[["steal", "3%"]])
    voided = cell(1, 1, "void", reasons=[["little", "by far"], ["steal", "27%"]])

    assert to_repeat([noisy, voided], [ended(1)], "1-poll") == [0, 1]
    assert to_repeat([noisy, voided], [ended(1)], "1-poll", noisy=False) == [1]


def test_a_window_that_the_load_slept_through_is_tried_again() -> None:
    failure = {"code": "overslept", "text": "no CPU"}
    slept = cell(0, 1, "void", failure=failure, reasons=[["failure", "no CPU"]])
    died = cell(1, 1, "void", failure=failure | {"code": "server-died"})

    assert to_repeat([slept, died], [ended(1)], "1-poll") == [0]


def test_a_capacity_that_is_void_is_measured_again_even_if_nobody_else_was_seen() -> None:
    """Every share of it hangs on this one cell."""
    little, hidden = ["little", "19.1, but 20"], ["evidence", "not observed: server.cpu_ns"]
    calibration = "calibration"
    records = [
        cell(0, 1, "void", scenario=calibration, reasons=[little]),
        cell(1, 1, "void", scenario="idle", reasons=[little]),
        cell(2, 1, scenario=calibration),
        cell(3, 1, "capped", scenario=calibration, reasons=[["capped", "holds 30 of 50"]]),
        cell(4, 1, "void", scenario=calibration, reasons=[hidden]),
    ]

    assert to_repeat(records, [ended(1)], "1-poll") == [0]
    better = cell(0, 2, scenario=calibration)
    assert to_repeat([*records, better], [ended(1), ended(2, (0,))], "1-poll") == []


def test_what_is_noisy_at_the_last_attempt_is_to_be_measured_again() -> None:
    records = [cell(0, 1, "noisy"), cell(1, 1, "noisy"), cell(2, 1, "void"), cell(1, 2)]

    assert to_repeat(records, [ended(1), ended(2, (1,))], "1-poll") == [0]
    assert to_repeat(records, [ended(1)], "2-poll") == []


def test_a_cell_that_only_lacks_what_the_kernel_hides_is_not_measured_again() -> None:
    hidden, jumps = ["counters", "not observed: tcp.RetransSegs"], ["uneven", "± 9%"]
    records = [
        cell(0, 1, "noisy", reasons=[hidden]),
        cell(1, 1, "noisy", reasons=[hidden, jumps]),
    ]

    assert to_repeat(records, [ended(1)], "1-poll") == [1]


def test_a_cell_that_a_trial_ended_without_is_left_out_until_it_was_tried() -> None:
    done = ended(1, outcome="done")
    none = ended(1, code="no-capacity", outcome="failed")
    again = ended(2, (2, 3), outcome="done")
    records = [cell(0, 1), cell(1, 1)]

    assert left_out(records, [done], "1-poll", [1, 2, 3]) == [2, 3]
    assert left_out([], [none], "1-poll", [2, 3]) == [2, 3]
    # An attempt that was cut short, or failed beside the server, is none
    assert left_out([*records, cell(2, 2)], [done], "1-poll", [2, 3]) == [2, 3]
    died = ended(2, (2, 3), "load-died", outcome="failed")
    assert left_out([*records, cell(2, 2)], [done, died], "1-poll", [2, 3]) == [2, 3]
    assert left_out([*records, cell(2, 2)], [done, again], "1-poll", [2, 3]) == []
    # What a server did not live to see is no omission, and neither is a trial to come
    assert left_out(records, [ended(1, code="server-died")], "1-poll", [2, 3]) == []
    assert left_out([], [], "1-poll", [2, 3]) == []


@pytest.mark.parametrize("failure", ["held-fewer", "not-settled", "not-reached"])
def test_a_failure_that_others_may_have_caused_is_tried_again(failure: str) -> None:
    reasons = [["failure", "held 30 of 50"], ["disturbed", "other processes used 48 %"]]
    busy = cell(0, 1, "void", failure={"code": failure}, reasons=reasons)
    quiet = cell(1, 1, "void", failure={"code": failure}, reasons=reasons[:1])

    assert to_repeat([busy, quiet], [ended(1)], "1-poll") == [0]
    assert has_disturbed([busy, quiet], [ended(1)], "1-poll")
    assert not has_disturbed([quiet], [ended(1)], "1-poll")
    assert not has_disturbed([busy, cell(0, 2)], [ended(1), ended(2, (0,))], "1-poll")


def test_an_attempt_whose_server_was_disturbed_before_it_was_ready_speaks_for_nothing() -> None:
    records = [cell(0, 1), cell(1, 1, "noisy")]
    disturbed = ended(2, (1,), "disturbed", outcome="failed")

    assert used(records, [ended(1), disturbed]) == [(0, 1), (1, 1)]
    # One that came to its end speaks for its cells, whatever others did to some of them
    done = ended(2, (1,), "disturbed", outcome="done")
    assert used([*records, cell(1, 2)], [ended(1), done]) == [(0, 1), (1, 2)]


def test_what_a_campaign_spent_on_measuring_again_is_counted_by_block() -> None:
    disturbed = ended(1, code="disturbed", outcome="failed", block=1)
    again = ended(2, (1,), block=1)
    first = ended(1, block=1)
    other = ended(1, trial="2-poll", block=2)

    assert spent([first, other]) == {}
    assert spent([first, again, other]) == {1: 1}
    assert spent([disturbed, other]) == {}
    assert spent([disturbed, disturbed, first]) == {1: 2}
