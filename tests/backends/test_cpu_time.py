"""Where the kernel's accounts of CPU time are, and what their texts say."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

from harness.backends import cpu_time
from harness.backends.cpu_time import SOURCE_VARIABLE, V1, V2, Busy, CpuGroup

CONTAINER = "f" * 64
STAT = """cpu  9 9 9 9 9 9 9 9 0 0
cpu0 100 1 20 900 5 {irq} 30 7 0 0
cpu1 300 0 50 600 5 0 40 7 0 0
intr 12345
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_group_of_either_version_tells_its_cpu_time(tmp_path: Path) -> None:
    write(tmp_path / "cpuacct.usage", "123456789\n")
    write(tmp_path / "cpuacct.usage_percpu", "23456789 100000000 \n")
    write(tmp_path / "cpu.stat", "usage_usec 4567\nuser_usec 4000\nsystem_usec 567\n")

    assert CpuGroup(tmp_path, V1).cpu_ns() == 123_456_789
    assert CpuGroup(tmp_path, V1).outside_ns([1]) == 23_456_789
    assert CpuGroup(tmp_path, V2).cpu_ns() == 4_567_000
    assert CpuGroup(tmp_path, V2).outside_ns([1]) is None


@pytest.mark.parametrize(
    ("place", "file", "source"),
    [
        (f"cpuacct/docker/{CONTAINER}", "cpuacct.usage", V1),
        (f"cpu,cpuacct/docker/{CONTAINER}", "cpuacct.usage", V1),
        (f"system.slice/docker-{CONTAINER}.scope", "cpu.stat", V2),
        (f"unified/docker/{CONTAINER}", "cpu.stat", V2),
    ],
)
def test_a_containers_group_is_found_in_every_hierarchy(
    root: Path, place: str, file: str, source: str
) -> None:
    write(root / place / file, "usage_usec 1\n" if file == "cpu.stat" else "1000\n")

    found = cpu_time.of_container(CONTAINER, root)

    assert found == CpuGroup(root / place, source)
    assert found.cpu_ns() == 1_000
    assert cpu_time.of_container("e" * 64, root) is None


def test_the_source_that_is_asked_for_is_the_only_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / f"cpuacct/docker/{CONTAINER}/cpuacct.usage", "1\n")
    monkeypatch.setenv(SOURCE_VARIABLE, "processes")

    assert cpu_time.of_container(CONTAINER, root) is None


def group_in(root: Path, own: str) -> CpuGroup | None:
    """The group that is made for a process whose /proc/self/cgroup is `own`."""
    write(root / "self", own)
    return cpu_time.make("c10k-test", root, root / "self")


@pytest.mark.parametrize(
    ("own", "file", "content"),
    [
        ("4:cpu,cpuacct:/a\n", "cpu,cpuacct/a/cpuacct.usage", "0\n"),
        ("0::/a\n", "a/cgroup.subtree_control", "cpuset cpu memory\n"),
    ],
)
def test_no_group_is_made_that_the_scheduler_would_share_the_cpu_by(
    root: Path, own: str, file: str, content: str
) -> None:
    write(root / file, content)

    assert group_in(root, own) is None
    assert list(root.rglob("c10k-test")) == []


def test_a_directory_that_turns_out_to_count_nothing_is_removed_again(root: Path) -> None:
    (root / "cpuacct/a").mkdir(parents=True)

    assert group_in(root, "2:cpuacct:/a\n") is None
    assert list(root.rglob("c10k-test")) == []


@pytest.mark.parametrize("source", [V1, V2])
def test_a_group_that_is_made_here_counts_and_settles(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv(SOURCE_VARIABLE, source)
    group = cpu_time.make(f"c10k-test-{os.getpid()}")
    if group is None:
        pytest.skip(f"no group of {source} can be made here")
    try:
        assert group.source == source
        before_s = time.monotonic()
        charged = cpu_time.Accountant().settled(group, [0])
        waited_s = time.monotonic() - before_s

        assert (charged.cpu_ns, charged.cpu_source) == (group.cpu_ns(), source)
        assert charged.cpu_exact_ns == group.exact_ns  # it stood still
        assert waited_s >= time.clock_getres(cpu_time.CLOCK_MONOTONIC_COARSE)
        assert (charged.cpu_outside_ns is None) == (source == V2)
    finally:
        group.directory.rmdir()


def test_a_group_that_goes_on_running_is_known_to_a_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran_ns = itertools.count(step=1_000_000)
    monkeypatch.setattr(CpuGroup, "cpu_ns", lambda _: next(ran_ns))

    charged = cpu_time.Accountant().settled(CpuGroup(tmp_path, V2), [0])

    tick_ns = time.clock_getres(cpu_time.CLOCK_MONOTONIC_COARSE) * 1e9
    assert charged.cpu_ns
    assert charged.cpu_exact_ns == pytest.approx(1_000 + tick_ns)


def test_what_stood_still_since_the_last_look_is_not_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_s: list[float] = []
    sleep, now = time.sleep, {"own_ns": 5, "busy_ns": 7}

    def waited(duration_s: float) -> None:
        waits_s.append(duration_s)
        sleep(duration_s)

    monkeypatch.setattr(time, "sleep", waited)
    monkeypatch.setattr(CpuGroup, "cpu_ns", lambda _: now["own_ns"])
    monkeypatch.setattr(cpu_time, "busy", lambda *_: Busy(now["busy_ns"], 9, "cpuacct", 0, 2))
    group, accountant = CpuGroup(tmp_path, V2), cpu_time.Accountant()

    def waits_of_a_look() -> int:
        waits_s.clear()
        charged = accountant.settled(group, [0])
        assert (charged.cpu_ns, charged.busy_exact_ns) == (now["own_ns"], 0)
        return len(waits_s)

    assert waits_of_a_look() == 1
    assert waits_of_a_look() == 0
    now["busy_ns"] += 1  # another server had the CPU meanwhile
    assert waits_of_a_look() == 1
    now["own_ns"] += 1
    assert waits_of_a_look() == 1
    assert waits_of_a_look() == 0


def test_a_group_is_removed_with_those_that_a_server_made_in_it() -> None:
    group = cpu_time.make(f"c10k-test-{os.getpid()}-nested")
    if group is None:
        pytest.skip("no control group can be made here")
    (group.directory / "worker/deeper").mkdir(parents=True)

    assert group.remove()
    assert not group.directory.exists()
    assert group.remove()


def test_a_group_that_is_gone_is_no_figure(tmp_path: Path) -> None:
    charged = cpu_time.Accountant().settled(CpuGroup(tmp_path / "gone", V1), [0])

    assert (charged.cpu_ns, charged.cpu_source) == (None, None)


def busy_in(root: Path, proc: Path, cpus: list[int]) -> Busy | None:
    return cpu_time.busy(cpus, root, proc)


def test_busy_time_is_from_the_best_source_that_there_is(root: Path, tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    assert busy_in(root, proc, [1]) is None

    write(proc / "stat", STAT.format(irq=0))
    # Without CONFIG_IRQ_TIME_ACCOUNTING a task's run time has the softirq of its CPU in it
    assert busy_in(root, proc, [1]) == Busy(3_900_000_000, 5_410_000_000, "stat", 22_360_680, 2)
    write(proc / "stat", STAT.format(irq=3))
    assert busy_in(root, proc, [1]) == Busy(3_500_000_000, 4_710_000_000, "stat", 17_320_508, 2)

    write(root / "cpuacct/cpuacct.usage_percpu", "5 7 11 \n")
    assert busy_in(root, proc, [1, 2]) == Busy(18, 23, "cpuacct", 0, 3)
