"""Checks of several servers at once: whose turn it is, and which verdicts count."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.base import Prepared
from harness.campaign import conformance_pool
from harness.campaign.conformance_pool import Cores, Judged
from harness.campaign.conformance_run import Verdict
from harness.campaign.suite_turn import Turn
from harness.conformance.suite_results import CheckResult
from harness.contract.errors import HostNotFit, Interrupted
from harness.host import cpus, interrupt
from harness.variants import variant_files

ROOT = Path(__file__).resolve().parents[2]
POLL = variant_files.read(ROOT / "servers/poll")
HERE, THERE = (Cores(cpus.CpuSplit((cpu + 1,), (cpu,))) for cpu in (0, 2))


def judged(*, passes: bool, cores: Cores = HERE, start_s: float = 0, end_s: float = 10) -> Judged:
    status = "pass" if passes else "fail"
    result = CheckResult("T1", "name", "data", status, "text", "", 0.1)  # type: ignore[arg-type]
    prepared = Prepared(POLL, "poll", "digest")
    return Judged(prepared, Verdict("poll", "quick", (result,)), cores, start_s, end_s)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (judged(passes=True), True),
        (judged(passes=False), False),
        (judged(passes=False, cores=THERE), True),
        (judged(passes=False, start_s=10, end_s=20), True),
        (judged(passes=False, start_s=9.9, end_s=20), False),
        (judged(passes=False, start_s=-5, end_s=0.1), False),
        (judged(passes=False, start_s=-5, end_s=0), True),
    ],
)
def test_a_pass_counts_unless_a_server_failed_beside_it_on_its_cores(
    other: Judged, expected: bool
) -> None:
    one = judged(passes=True)

    assert conformance_pool.counts(one, [one, other]) is expected


def test_a_server_that_is_not_available_here_counts_and_disturbs_none() -> None:
    verdict = Verdict("poll", "quick", (), ("not-available", "no io_uring here"))
    gone = replace(judged(passes=True), verdict=verdict)
    right = judged(passes=True)

    assert conformance_pool.counts(gone, [gone, right])
    assert conformance_pool.counts(right, [gone, right])


def test_a_failure_beside_others_never_counts() -> None:
    one = judged(passes=False)

    assert not conformance_pool.counts(one, [one])
    assert not conformance_pool.counts(one, [one, judged(passes=True)])


@given(st.integers(2, 64), st.integers(1, 4))
def test_splits_are_disjoint_and_each_is_whole(count: int, server_cpus: int) -> None:
    cores: list[tuple[int, ...]] = [(cpu,) for cpu in range(count)]
    if count <= server_cpus:
        with pytest.raises(HostNotFit):
            cpus.splits(cores, server_cpus)
        return
    found = cpus.splits(cores, server_cpus)

    used = [cpu for one in found for cpu in (*one.server, *one.load)]
    assert len(used) == len(set(used))
    assert len(found) == count // (server_cpus + 1)
    assert all(len(one.server) == server_cpus and one.load for one in found)


def test_two_cores_make_the_split_that_trials_have() -> None:
    assert cpus.splits([(0,), (1,)], 1) == [cpus.split([(0,), (1,)], 1)]


def test_one_suite_works_at_a_time_and_one_crowds_at_a_time() -> None:
    work, crowd = threading.Lock(), threading.Lock()
    at_work: list[int] = []
    crowding: list[int] = []
    seen: list[tuple[int, int]] = []

    def suite(number: int) -> None:
        with Turn(work, crowd) as turn:
            for round_ in range(20):
                turn.take(crowds=round_ % 3 == 0)
                at_work.append(number)
                if round_ % 3 == 0:
                    crowding.append(number)
                seen.append((len(at_work), len(set(crowding))))
                time.sleep(0.0005)
                at_work.remove(number)
                left = round_ % 3 == 2
                if left:
                    crowding.remove(number)
                turn.give(left=left)
            if number in crowding:
                crowding.remove(number)

    threads = [threading.Thread(target=suite, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert not any(thread.is_alive() for thread in threads)
    assert len(seen) == 60
    assert max(at for at, _ in seen) == 1
    assert max(crowds for _, crowds in seen) == 1


def test_a_suite_that_waits_for_its_turn_stops_when_it_has_to() -> None:
    work = threading.Lock()
    ended: list[str] = []

    def suite() -> None:
        try:
            with Turn(work):
                pass
        except Interrupted as error:
            ended.append(error.message)

    thread = threading.Thread(target=suite)
    with work:
        thread.start()
        with interrupt.workers_stopped():
            thread.join(5)

    assert ended == ["stopped with all other work"]
    assert not work.locked()
