"""Work on several servers at once: order, bounds, shared places, and what a signal leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from discovering import discover
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import builds
from harness.campaign import worker_pool
from harness.contract.errors import Interrupted, ServerFault
from harness.host import interrupt, server_processes

ROOT = Path(__file__).resolve().parents[2]


@given(
    st.lists(st.integers(0, 3)),
    st.sets(st.integers(0, 3)),
    st.lists(st.integers(0, 3)),
)
def test_of_a_place_without_a_success_one_item_runs_at_a_time(
    places: list[int], opened: set[int], running: list[int]
) -> None:
    items = list(enumerate(places))
    found = worker_pool.startable(items, lambda item: item[1], opened, running)

    for where in set(places):
        here = [item for item in items if item[1] == where]
        begun = [item for item in found if item[1] == where]
        if where in opened:
            assert begun == here
        else:
            assert begun == ([] if where in running else here[:1])


def test_work_is_done_at_once_up_to_the_bound_and_each_result_comes_once() -> None:
    barrier = threading.Barrier(3)  # breaks unless three are at work at once
    mutex, at_work, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal at_work, most
        with mutex:
            at_work += 1
            most = max(most, at_work)
        barrier.wait(5)
        with mutex:
            at_work -= 1
        return number * 2

    with contextlib.closing(worker_pool.each(range(6), work, at_once=3)) as results:
        found = {done.item: done.result for done in results}

    assert found == {number: number * 2 for number in range(6)}
    assert most == 3


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("fails", [False, True])
def test_work_runs_on_the_cpus_given_and_leaves_those_of_the_main_thread(
    names: list[str], at_once: int, fails: bool
) -> None:
    """The main thread is on the CPU of the load when a build starts, the build on all of them."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("one CPU only: none is left out")
    own, on = {min(allowed)}, []

    def work(name: str) -> None:
        shown = subprocess.run(["nproc"], capture_output=True, check=True, text=True).stdout
        on.append((os.sched_getaffinity(0), int(shown)))
        if fails:
            raise ServerFault(f"{name} does not build", code="build-failed")

    os.sched_setaffinity(0, own)
    try:
        with contextlib.closing(
            worker_pool.each(names, work, at_once=at_once, cpus=allowed)
        ) as results:
            between = [os.sched_getaffinity(0) for _ in results]
        after = os.sched_getaffinity(0)
    finally:
        os.sched_setaffinity(0, allowed)

    assert on == [(allowed, len(allowed))] * len(names)
    assert [*between, after] == [own] * (len(names) + 1)


def test_a_failed_first_build_of_a_place_is_followed_by_another_one_alone() -> None:
    begun: list[int] = []
    at_work: set[int] = set()
    overlaps: list[set[int]] = []

    def work(number: int) -> None:
        at_work.add(number)
        time.sleep(0.05)
        overlaps.append(set(at_work))
        at_work.remove(number)
        if number < 2:
            raise ServerFault(f"{number} does not build", code="build-failed")

    results = worker_pool.each(
        range(5), work, at_once=4, place=lambda _: "here", begin=begun.append
    )
    with contextlib.closing(results):
        failed = [done.item for done in results if isinstance(done.result, ServerFault)]

    assert begun == [0, 1, 2, 3, 4]
    assert failed == [0, 1]
    assert overlaps[:3] == [{0}, {1}, {2}]


def test_an_error_while_a_result_is_looked_at_ends_the_other_work_first() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            begun.wait(5)
            return
        begun.set()
        try:
            while True:
                interrupt.require_going()
                time.sleep(0.01)
        finally:
            time.sleep(0.1)
            ended.set()

    def fail() -> None:
        with contextlib.closing(worker_pool.each([0, 1], work, at_once=2)) as results:
            for _ in results:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ended.is_set()


def test_a_shield_of_a_worker_holds_no_signal_back_from_the_main_thread() -> None:
    shielded, leave = threading.Event(), threading.Event()

    def work() -> None:
        with interrupt.shielded():
            shielded.set()
            leave.wait(5)

    with interrupt.watched():
        thread = threading.Thread(target=work)
        thread.start()
        shielded.wait(5)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        leave.set()
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_several_build_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    program = f"""
import contextlib, pathlib, sys
from harness.backends import builds
from harness.campaign import worker_pool
from harness.contract.errors import Interrupted
from harness.host import interrupt

def work(name):
    script = f'echo $$ > {tmp_path}/{{name}}; (sleep 300) & sleep 300'
    builds.build(name, ["sh", "-c", script], pathlib.Path({str(tmp_path)!r}), 600)

try:
    with interrupt.watched():
        with contextlib.closing(worker_pool.each("abc", work, at_once=3)) as results:
            list(results)
except Interrupted as error:
    print(error.message)
    sys.exit(130)
"""
    process = subprocess.Popen(
        # A shell's background job inherits an ignored SIGINT.
        ["env", "--default-signal=INT", sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    last_s = time.monotonic() + 20
    while time.monotonic() < last_s:
        groups = [path.read_text().strip() for path in tmp_path.iterdir()]
        if len(groups) == 3 and all(groups):
            break
        time.sleep(0.02)
    os.kill(process.pid, number)
    start_s = time.monotonic()
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 130
    assert output.decode().strip() == f"interrupted by {number.name}"
    assert time.monotonic() - start_s < 3
    sessions = {
        one.session for one in server_processes.processes().values() if one.state not in "ZX"
    }
    assert not sessions & {int(group) for group in groups}


@pytest.mark.parametrize(
    ("build", "where"),
    [
        (["make", "-C", "..", "poll"], "servers"),
        (["/usr/bin/make", "-C", ".", "all"], "servers/mine"),
        (["make", "all"], "servers/mine"),
        (["sh", "-c", "make"], "servers/mine"),
        ([], "servers/mine"),
    ],
)
def test_builds_of_one_makefile_have_one_place(build: list[str], where: str) -> None:
    assert builds.make_directory(build, ROOT / "servers/mine") == ROOT / where


def test_a_build_that_takes_too_long_is_ended_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(ServerFault) as fault:
        builds.build("mine", ["sh", "-c", "echo begun; sleep 60"], tmp_path, 0.5)

    assert fault.value.message == "mine: the build took longer than 0 s"
    assert fault.value.log == "begun"


def test_images_with_the_same_first_layers_have_one_place() -> None:
    images = pytest.importorskip("harness.backends.images")
    found = {one.name: images.shared_layers(one) for one in discover(ROOT / "servers")}

    assert found["poll"] == found["epoll-lt"]
    assert found["python-poll"] == found["python-select"]
    assert len({found["poll"], found["python-poll"], found["java-nio"], found["erlang"]}) == 4
    assert "COPY" not in found["poll"]
    assert "install" in found["poll"]
