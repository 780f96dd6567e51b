"""CPUs, limits, the lock and cgroups: what the harness asks of the host."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import threading
from pathlib import Path

import pytest

from harness.backends.docker_engine import facts
from harness.contract.errors import HostNotFit, Interrupted
from harness.host import cgroups, cpus, lock
from harness.host.interrupt import watched
from harness.plan import limits

CONTAINER = "ab" * 32


def test_the_server_gets_whole_cores_and_never_a_sibling_of_the_loads() -> None:
    split = cpus.split([(0, 4), (1, 5), (2, 6), (3, 7)], server_cpus=1)

    assert split.server == (3,)
    assert split.load == (0, 1, 2, 4, 5, 6)


def test_two_cpus_are_enough() -> None:
    assert cpus.split([(0,), (1,)], server_cpus=1) == cpus.CpuSplit(server=(1,), load=(0,))


@pytest.mark.parametrize(
    ("cores", "server_cpus", "expected"),
    [
        ([(0, 1)], 1, cpus.CpuSplit(server=(1,), load=(0,))),
        ([(0, 2), (1, 3)], 2, cpus.CpuSplit(server=(2, 3), load=(0, 1))),
        ([(0, 1), (2, 3)], 3, cpus.CpuSplit(server=(1, 2, 3), load=(0,))),
        ([(0,), (1, 2)], 2, cpus.CpuSplit(server=(0, 2), load=(1,))),
    ],
)
def test_with_too_few_cores_server_and_load_are_hyper_threads_of_one(
    cores: list[tuple[int, ...]], server_cpus: int, expected: cpus.CpuSplit
) -> None:
    split = cpus.split(cores, server_cpus)

    assert split == expected
    assert cpus.shares_core(cores, split.server, split.load)
    assert cpus.splits(cores, server_cpus) == [split]


def test_with_cores_enough_none_is_shared() -> None:
    cores: list[tuple[int, ...]] = [(0, 4), (1, 5), (2, 6), (3, 7)]
    split = cpus.split(cores, server_cpus=3)

    assert not cpus.shares_core(cores, split.server, split.load)


@pytest.mark.parametrize(
    ("cores", "told"),
    [([(0,)], "1 CPU allowed"), ([(0, 1)], r"2 CPUs \(hyper-threads of 1 core\) allowed")],
)
def test_fewer_cpus_than_server_and_load_need_are_refused(
    cores: list[tuple[int, ...]], told: str
) -> None:
    with pytest.raises(HostNotFit, match=told) as refused:
        cpus.split(cores, server_cpus=2)

    assert "3 CPUs are needed" in refused.value.message
    assert "Hyper-threads count" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "expected"), [("0-2,5\n", (0, 1, 2, 5)), ("3\n", (3,)), ("\n", ())]
)
def test_the_kernels_list_format_is_read(text: str, expected: tuple[int, ...]) -> None:
    assert cpus.parse_list(text) == expected


def test_siblings_outside_the_allowed_cpus_do_not_count(tmp_path: Path) -> None:
    for cpu, siblings in {0: "0,2", 1: "1,3"}.items():
        path = tmp_path / f"cpu{cpu}" / "topology"
        path.mkdir(parents=True)
        (path / "thread_siblings_list").write_text(siblings)

    assert cpus.cores_of({0, 1}, tmp_path) == [(0,), (1,)]


def test_a_request_beyond_what_is_granted_is_clamped_and_told() -> None:
    assert limits.clamp("nofile", 10_200, 20_000) == (10_200, None)
    granted, clamped = limits.clamp("nofile", 10_200, 4_096)
    assert granted == 4_096
    assert str(clamped) == "nofile: asked for 10,200, granted 4,096"


def test_a_signal_is_not_taken_for_an_answer_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives while an engine that accepts, and never answers, is asked."""
    path = str(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(path)
        engine.listen()
        accepted: list[object] = []

        def interrupt() -> None:
            accepted.append(engine.accept())
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

        asked = threading.Thread(target=interrupt, daemon=True)
        asked.start()
        with watched(), pytest.raises(Interrupted, match="SIGTERM"):
            facts()
        asked.join(30)


def test_an_owner_whose_name_is_no_utf_8_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    name = os.fsdecode(b"caf\xe9")

    with (
        lock.held(f"c10k run in {name}", path),
        pytest.raises(HostNotFit, match="c10k run in caf"),
        lock.held("me", path),
    ):
        pass


def _hold(path: Path, ready: multiprocessing.synchronize.Event) -> None:
    with lock.held("c10k run of somebody", path):
        ready.set()
        signal.pause()


def test_the_lock_names_its_owner_and_is_free_after_a_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "c10k.lock"
    ready = multiprocessing.Event()
    holder = multiprocessing.Process(target=_hold, args=(path, ready))
    holder.start()
    try:
        assert ready.wait(30)
        with pytest.raises(HostNotFit) as raised, lock.held("me", path):
            pass
        assert "c10k run of somebody" in raised.value.message
        assert str(holder.pid) in raised.value.message
    finally:
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        holder.join(30)
    with lock.held("me", path):
        assert "me" in path.read_text()
    assert path.read_text() == ""


def test_the_environment_names_another_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "mine.lock"
    monkeypatch.setenv("C10K_LOCK", str(named))

    with lock.held("me"):
        assert "me" in named.read_text()


def test_the_lock_is_held_on_a_full_disk_too(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with (
            lock.held("me", path),
            pytest.raises(HostNotFit, match="owner unknown"),
            lock.held("you", path),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_version_1_tells_kernel_and_socket_memory(tmp_path: Path) -> None:
    base = tmp_path / "memory" / "docker" / CONTAINER
    write(base / "memory.kmem.usage_in_bytes", "5000\n")
    write(base / "memory.kmem.tcp.usage_in_bytes", "700\n")
    write(base / "memory.kmem.tcp.limit_in_bytes", "1000000\n")

    found = cgroups.kernel_memory(CONTAINER, tmp_path)

    assert found == cgroups.KernelMemory(5000, 700, "cgroup-v1")


def test_version_1_without_a_limit_for_tcp_charges_no_sockets_and_tells_nothing(
    tmp_path: Path,
) -> None:
    base = tmp_path / "memory" / "docker" / CONTAINER
    write(base / "memory.kmem.usage_in_bytes", "5000\n")
    write(base / "memory.kmem.tcp.usage_in_bytes", "0\n")
    write(base / "memory.kmem.tcp.limit_in_bytes", "9223372036854771712\n")

    assert cgroups.kernel_memory(CONTAINER, tmp_path) is None


@pytest.mark.parametrize("place", [f"docker/{CONTAINER}", f"system.slice/docker-{CONTAINER}.scope"])
def test_version_2_is_found_under_both_drivers(tmp_path: Path, place: str) -> None:
    write(tmp_path / place / "memory.stat", "anon 1\nkernel 6000\nsock 800\n")

    found = cgroups.kernel_memory(CONTAINER, tmp_path)

    assert found == cgroups.KernelMemory(6000, 800, "cgroup-v2")


def test_a_kernel_before_5_18_is_summed_from_its_parts(tmp_path: Path) -> None:
    text = "kernel_stack 100\npagetables 20\npercpu 3\nslab 4000\nsock 5\n"
    write(tmp_path / "docker" / CONTAINER / "memory.stat", text)

    found = cgroups.kernel_memory(CONTAINER, tmp_path)

    assert found is not None
    assert found.kernel == 4123


def test_a_hybrid_host_is_probed_per_controller(tmp_path: Path) -> None:
    (tmp_path / "unified" / "docker" / CONTAINER).mkdir(parents=True)
    base = tmp_path / "memory" / "docker" / CONTAINER
    write(base / "memory.kmem.usage_in_bytes", "42\n")
    write(base / "memory.kmem.tcp.limit_in_bytes", "1000000\n")

    found = cgroups.kernel_memory(CONTAINER, tmp_path)

    assert found is not None
    assert (found.kernel, found.source) == (42, "cgroup-v1")


def test_a_rootless_engine_nests_its_cgroups_deeper(tmp_path: Path) -> None:
    place = f"user.slice/user-1000.slice/user@1000.service/user.slice/docker-{CONTAINER}.scope"
    write(tmp_path / place / "memory.stat", "kernel 7\nsock 0\n")

    found = cgroups.kernel_memory(CONTAINER, tmp_path)

    assert found is not None
    assert found.kernel == 7


def test_nobody_tells_is_none_and_no_zero(tmp_path: Path) -> None:
    assert cgroups.kernel_memory(CONTAINER, tmp_path) is None
