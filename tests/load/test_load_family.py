"""Which processes are the server's, and what their accounts add up to."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from harness.host import cpu_accounting, server_processes
from harness.host.cpu_accounting import TICK_NS, Charged, Moment, Other
from harness.host.procfs import ProcessStat

ME, FORK_SERVER, HARNESS = os.getpid(), os.getppid(), 50
PLAIN = ProcessStat(
    state="S",
    parent=0,
    session=1,
    user_ticks=0,
    system_ticks=0,
    collected_ticks=0,
    threads=1,
    started_ticks=5,
    flags=0,
    name="",
)


def tree(**parents: int) -> dict[int, ProcessStat]:
    """{pid: stat} of processes that are written `_PID=PARENT`."""
    return {int(pid[1:]): replace(PLAIN, parent=parent) for pid, parent in parents.items()}


def below_a_harness(**parents: int) -> dict[int, ProcessStat]:
    """This load (with a child, 90), its fork server and others, below the harness 50."""
    seen = tree(_1=0, _40=1, _90=ME, **parents) | {HARNESS: replace(PLAIN, parent=40)}
    return seen | {
        FORK_SERVER: replace(PLAIN, parent=HARNESS),
        ME: replace(PLAIN, parent=FORK_SERVER),
    }


# A keeper 60 with a server 61, its worker 62, and an orphan 63 that the keeper inherited.
KEPT = {"_60": HARNESS, "_61": 60, "_62": 61, "_63": 60}
# The same where `unshare --fork`, 59, started the keeper.
NAMESPACED = KEPT | {"_59": HARNESS, "_60": 59}


@pytest.mark.parametrize(("way", "parents"), [("keeper", KEPT), ("init", NAMESPACED)])
@pytest.mark.parametrize("holder", [61, 62, 63])
def test_all_below_the_keeper_is_the_servers_whoever_listens(
    way: Any, parents: dict[str, int], holder: int
) -> None:
    seen = below_a_harness(**parents, _70=40, _71=70)

    keeper = server_processes.keeper_of(seen, way, holder)
    found = server_processes.of(seen, way, [holder], keeper)

    assert keeper == 60
    assert found.pids == {61, 62, 63}
    assert found.collectors == {60, 61, 62, 63}


def test_a_process_that_calls_itself_a_keeper_inside_the_tree_is_none() -> None:
    seen = below_a_harness(**NAMESPACED, _64=62, _65=64)

    assert server_processes.keeper_of(seen, "init", 65) == 60


def test_what_left_its_keeper_has_none() -> None:
    seen = below_a_harness(**KEPT, _64=1, _65=40, _66=65, _67=FORK_SERVER)

    for escaped in (64, 66, 67):
        assert server_processes.keeper_of(seen, "keeper", escaped) is None


def test_the_main_process_is_the_oldest_that_no_other_forked() -> None:
    seen = below_a_harness(**KEPT)
    seen[61] = replace(seen[61], started_ticks=2)  # the numbers start again from below

    assert server_processes.main_of(seen, frozenset({61, 62, 63})) == 61
    assert server_processes.main_of(seen, frozenset({62, 63})) in (62, 63)


def test_in_a_shared_namespace_all_that_is_not_the_loads_is_the_servers() -> None:
    seen = tree(_1=0, _90=ME, _20=0, _21=20, _22=1) | {ME: replace(PLAIN, parent=1)}

    found = server_processes.of(
        seen, "namespace", [20], server_processes.keeper_of(seen, "namespace", 20)
    )

    assert found.pids == {20, 21, 22}
    assert found.collectors == {1, 20, 21, 22}


def test_a_server_that_nobody_started_is_who_listens_and_what_that_forked() -> None:
    seen = below_a_harness(_70=1, _71=70, _72=1)

    assert server_processes.keeper_of(seen, "server", 70) is None
    assert server_processes.of(seen, "server", [70], None).pids == {70, 71}


def test_the_host_is_in_view_where_its_kernel_threads_are() -> None:
    assert server_processes.is_host_in_view(
        tree(_1=0) | {2: replace(PLAIN, flags=server_processes.PF_KTHREAD)}
    )
    assert not server_processes.is_host_in_view(tree(_1=0, _2=1))
    assert not server_processes.is_host_in_view(tree(_1=0))


def at(stamp_ns: int, **members: Any) -> Moment:
    known: dict[str, Any] = {"echoes": 0, "charged": Charged(), "family_ns": 0}
    return Moment(stamp_ns=stamp_ns, **known | members)


def test_an_account_is_the_sum_of_its_turns_and_of_nothing_between_them() -> None:
    turns = [
        (at(0, family_ns=10, echoes=0), at(100, family_ns=70, echoes=5)),
        (at(1_000, family_ns=900, echoes=5), at(1_100, family_ns=950, echoes=9)),
    ]

    account = cpu_accounting.account(turns, 1)

    assert account is not None
    assert (account["cpu_ns"], account["echoes"], account["span_ns"]) == (110, 9, 200)
    assert (account["source"], account["exact_ns"], account["busy_ns"]) == ("processes", 0, None)
    assert cpu_accounting.account([], 1) is None


def test_a_control_group_decides_and_the_processes_stand_beside_it() -> None:
    first = Charged(1_000, "cgroup-v2", 30, 300, 5_000, "cpuacct", 0, 9_000, 0)
    last = replace(first, cpu_ns=4_000, cpu_outside_ns=400, busy_ns=9_000, host_busy_ns=19_000)
    last = replace(last, cpu_exact_ns=40)
    turns = [(at(0, charged=first, family_ns=0), at(10, charged=last, family_ns=2_500))]

    account = cpu_accounting.account(turns, 2)

    assert account is not None
    expected = {"source": "cgroup-v2", "cpu_ns": 3_000, "exact_ns": 50, "processes_ns": 2_500}
    expected |= {"outside_ns": 100, "busy_ns": 4_000, "host_busy_ns": 10_000, "cpus": 2}
    assert account == account | expected


def test_a_group_that_was_not_read_at_every_edge_decides_nothing() -> None:
    turns = [(at(0, charged=Charged(1, "cgroup-v1")), at(1, family_ns=3))]

    account = cpu_accounting.account(turns, 1)

    assert account is not None
    assert (account["source"], account["cpu_ns"]) == ("processes", 3)


def test_each_process_that_collected_children_rounds_by_itself() -> None:
    task, other = (61, 5), (62, 5)
    turn = (at(0, collected={task: 3, other: 1}), at(1, collected={task: 9, other: 1}))

    assert cpu_accounting.account([turn], 1)["exact_ns"] == 2 * TICK_NS  # type: ignore[index]
    assert cpu_accounting.account([turn] * 4, 1)["exact_ns"] == 4 * TICK_NS  # type: ignore[index]


INIT, SHELL, JOB, STEP = (1, 5), (70, 5), (71, 6), (72, 7)


def shell(clock: int, collected: int) -> dict[Any, Other]:
    """A shell below the first process."""
    return {INIT: Other(0, 0, (0, 0)), SHELL: Other(clock, collected, INIT)}


OLD_JOB = {JOB: Other(500, 40, SHELL), STEP: Other(60, 0, JOB)}


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        (shell(100, 0), shell(130, 0), 30),
        # A job that began since has run all of its time since
        (shell(100, 0), shell(100, 0) | {JOB: Other(7, 2, SHELL)}, 9),
        # Of a job that ended, with a step of its own, the shell collected the whole life
        (shell(100, 9) | OLD_JOB, shell(100, 9 + 600 + 3), 3),
        # A shell that ignores SIGCHLD collects nothing: what ran since is not known
        (shell(100, 9) | OLD_JOB, shell(130, 9), 30),
        # The job ended, its step goes on as an orphan
        (shell(100, 9) | OLD_JOB, shell(100, 9 + 540 + 1) | {STEP: Other(64, 0, INIT)}, 5),
    ],
)
def test_what_others_ran_is_what_is_on_their_clocks_and_was_not(
    before: dict[Any, Other], after: dict[Any, Other], grown: int
) -> None:
    turn = (at(0, others=before), at(1, others=after))

    assert cpu_accounting.account([turn], 1)["others_ns"] == grown  # type: ignore[index]
    assert cpu_accounting.account([turn] * 2, 1)["others_ns"] == 2 * grown  # type: ignore[index]


def test_the_others_are_known_where_they_were_at_every_edge() -> None:
    seen = (at(0, others=shell(1, 0)), at(1, others=shell(2, 0)))

    assert cpu_accounting.account([seen, (at(0), at(1))], 1)["others_ns"] is None  # type: ignore[index]
