"""Several servers are checked at once: the verdicts are those of each alone, and a signal leaves
nothing."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
from command import C10k, is_forked, marked_processes, wait_for
from discovering import discover
from few_checks import variables
from test_nonconforming import BUG, add

from harness.backends.process import ProcessBackend
from harness.campaign import conformance_pool
from harness.campaign.conformance_run import SuiteContext
from harness.host import cpus, server_processes
from harness.host.lock import LOCK_VARIABLE

AT_ONCE = 3


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.lock"
    monkeypatch.setenv(LOCK_VARIABLE, str(path))
    return path


@pytest.fixture
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SuiteContext, "variables", variables)


def suites() -> int:
    """How many suites run under our lock: those that its fork servers forked."""
    seen = server_processes.processes()
    forked = {pid for pid in marked_processes() if is_forked(Path(f"/proc/{pid}"))}
    return sum(pid in seen and seen[pid].parent in forked for pid in forked)


@pytest.mark.usefixtures("few_checks")
def test_a_server_that_fails_beside_others_is_checked_again_alone_and_so_are_they(
    c10k: C10k,
) -> None:
    add(c10k, "a-right", "right.py")
    add(c10k, "b-wrong", f"{BUG}.py")
    backend, said = ProcessBackend(), list[str]()
    prepared = [backend.prepare(one, 60) for one in discover(c10k.servers)]
    splits = cpus.splits(cpus.cores_of(os.sched_getaffinity(0)), 1)[:1]

    found = conformance_pool.each(backend, prepared, "quick", splits, sharing=2, say=said.append)
    with closing(found):
        verdicts = {verdict.variant: verdict for verdict in found}

    assert said[:2] == ["checking a-right", "checking b-wrong"]
    assert sorted(said[2:]) == ["checking a-right alone", "checking b-wrong alone"]
    assert verdicts["a-right"].conforms, verdicts["a-right"].summary
    assert [check.id for check in verdicts["b-wrong"].failed] == ["T19"]


@pytest.mark.usefixtures("few_checks")
def test_servers_that_pass_beside_each_other_are_checked_once(c10k: C10k) -> None:
    names = ["a-right", "b-right", "c-right"]
    for name in names:
        add(c10k, name, "right.py")
    backend, said = ProcessBackend(), list[str]()
    prepared = [backend.prepare(one, 60) for one in discover(c10k.servers)]
    splits = cpus.splits(cpus.cores_of(os.sched_getaffinity(0)), 1)[:1]

    found = conformance_pool.each(backend, prepared, "quick", splits, sharing=3, say=said.append)
    with closing(found):
        verdicts = list(found)

    assert all(verdict.conforms for verdict in verdicts), [one.summary for one in verdicts]
    assert sorted(verdict.variant for verdict in verdicts) == names
    assert said == [f"checking {name}" for name in names]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_several_are_checked_leaves_nothing(
    c10k: C10k, lock: Path, number: signal.Signals
) -> None:
    names = [f"right-{count}" for count in range(AT_ONCE + 1)]
    for name in names:
        add(c10k, name, "right.py")
    process = c10k.start("check", "--servers-dir", c10k.servers, "--backend", "process")
    wait_for(lambda: suites() >= AT_ONCE - 1)
    process.send_signal(number)

    done = c10k.finish(process)

    assert done.code == 130, done.err + done.out
    assert "Traceback" not in done.err
    assert done.err.endswith("exit 130: interrupted, partial results saved\n")
    assert marked_processes() == []
    assert not list(lock.parent.glob("mine.lock.started-*"))
