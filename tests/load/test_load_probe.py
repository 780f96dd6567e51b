"""The probe against the running kernel: real sockets, real threads, real CPU time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gevent
import pytest

from harness.contract import address
from harness.contract.events import Events, ReaderGone
from harness.host import discovery, procfs, sockets
from harness.host.cpu_accounting import clock_ns
from harness.host.namespace import read_back
from harness.host.sockets import State
from harness.load.locust.users import StepShape
from harness.load.probe import memory_use
from harness.load.probe.readings import Probe, ServerGone

# Each thread takes 50 ms of CPU time; then it ends, or stays and sleeps.
BUSY_THREADS = """
import os, sys, threading, time
count, stays = int(sys.argv[1]), sys.argv[2:] == ["stays"]
worked = threading.Semaphore(0)
def work():
    while time.thread_time() < 0.05:
        sum(range(2000))
    worked.release()
    if stays:
        time.sleep(60)
threads = [threading.Thread(target=work) for _ in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    worked.acquire() if stays else thread.join()
while not stays and len(os.listdir("/proc/self/task")) > 1:
    time.sleep(0.001)  # join() returns a moment before the kernel's thread is gone
print("worked", flush=True)
time.sleep(60)
"""


@contextmanager
def child(source: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", source, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def schedstat_ns(pid: int) -> int:
    return sum(
        int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def test_the_cpu_clock_of_a_process_is_the_sum_of_its_tasks_run_time() -> None:
    with child(BUSY_THREADS, "4", "stays") as process:
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.05)
        run_ns = clock_ns(process.pid)
        assert run_ns == schedstat_ns(process.pid)
        assert run_ns is not None
        assert run_ns > 4 * 50_000_000
        assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 5


def test_the_cpu_clock_keeps_the_time_of_threads_that_ended() -> None:
    with child(BUSY_THREADS, "2") as process:
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.05)
        assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1
        run_ns = clock_ns(process.pid)
        assert run_ns is not None
        assert run_ns > schedstat_ns(process.pid) + 100_000_000


def test_context_switches_are_summed_over_all_tasks() -> None:
    source = """
import threading, time
def nap():
    for _ in range(100):
        time.sleep(0.001)
    time.sleep(60)
for _ in range(3):
    threading.Thread(target=nap).start()
time.sleep(0.5)
print("napped", flush=True)
time.sleep(60)
"""
    with child(source) as process:
        sample = Probe(address.parse("tcp://127.0.0.1:9"), [process.pid]).tasks()
        assert sample.voluntary >= 300


def test_thread_stacks_are_counted_as_such_and_apart_from_user_memory() -> None:
    with child(BUSY_THREADS, "8", "stays") as threads, child(BUSY_THREADS, "0") as single:
        baseline_bytes = memory_use.slab_bytes()
        eight = memory_use.read([threads.pid], baseline_bytes)
        none = memory_use.read([single.pid], baseline_bytes)
        assert none.stack == 0
        # A thread that ran Python has touched some pages of its stack, and far from all 8 MiB
        assert 8 * 2 * memory_use.PAGE_BYTES <= eight.stack <= 8 * 1024 * 1024
        rollup = procfs.sizes(Path(f"/proc/{threads.pid}/smaps_rollup").read_text())
        assert eight.user + eight.stack == pytest.approx(rollup["Pss_Anon"], rel=0.02)
        assert eight.kernel - none.kernel >= 8 * memory_use.KERNEL_STACK_BYTES


def test_slab_that_others_gave_back_counts_against_the_kernels_part() -> None:
    now_bytes = memory_use.slab_bytes()
    assert now_bytes is not None
    other_bytes = 1 << 40  # far more than what this host's slab changes by meanwhile
    found = memory_use.read([os.getpid()], now_bytes + other_bytes)
    assert found.slab is not None
    assert found.slab == pytest.approx(-other_bytes // 2, rel=0.01)
    assert found.kernel - found.slab >= memory_use.KERNEL_STACK_BYTES


def inode(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino


@contextmanager
def connected(
    family: socket.AddressFamily, where: object, connect_to: object, count: int
) -> Iterator[tuple[socket.socket, list[socket.socket], list[socket.socket]]]:
    """A listener with accepted connections: (listener, clients, accepted)."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind(where)  # type: ignore[arg-type]
        listener.listen(128)
        clients, accepted = [], []
        target = listener.getsockname()[1] if connect_to == "v4" else None
        for _ in range(count):
            client = stack.enter_context(socket.socket(socket.AF_INET if target else family))
            client.connect(("127.0.0.1", target) if target else listener.getsockname())
            clients.append(client)
            accepted.append(stack.enter_context(listener.accept()[0]))
        yield listener, clients, accepted


def test_established_counts_the_servers_ends_only() -> None:
    with connected(socket.AF_INET, ("127.0.0.1", 0), None, 37) as (listener, clients, accepted):
        port = listener.getsockname()[1]
        where = address.parse(f"tcp://127.0.0.1:{port}")
        assert sockets.established(where) == 37
        # A client's port is not the server's port, although it is the same connection
        client_port = clients[0].getsockname()[1]
        assert sockets.established(address.parse(f"tcp://127.0.0.1:{client_port}")) == 1
        clients[0].close()
        accepted[1].close()
        # One is in CLOSE_WAIT, one in FIN_WAIT2: not established, and still open
        assert sockets.established(where) == 35
        assert sockets.still_open(where) == 37
        assert sockets.listeners(where) == {inode(listener)}


def test_the_kernels_filtered_dump_agrees_with_the_table_in_proc() -> None:
    with connected(socket.AF_INET, ("127.0.0.1", 0), None, 9) as (listener, _, accepted):
        port = listener.getsockname()[1]
        asked = (port, port, (State.ESTABLISHED,))
        dumped = sorted(sockets._dump(socket.AF_INET, *asked))
        assert dumped == sorted(sockets._listed(Path("/proc/net/tcp"), *asked))
        assert len(dumped) == len(accepted) == 9
        assert dumped == sorted((port, inode(one)) for one in accepted)


def test_connected_counts_the_clients_ends_only() -> None:
    with connected(socket.AF_INET, ("127.0.0.1", 0), None, 9) as (listener, clients, accepted):
        port = listener.getsockname()[1]
        where = address.parse(f"tcp://127.0.0.1:{port}")
        asked = (port, port, (State.ESTABLISHED,))
        dumped = sorted(sockets._dump(socket.AF_INET, *asked, theirs=True))
        assert dumped == sorted(sockets._listed(Path("/proc/net/tcp"), *asked, theirs=True))
        assert dumped == sorted((one.getsockname()[1], inode(one)) for one in clients)
        accepted[0].close()
        assert sockets.connected(where) == 8


def test_ipv4_clients_of_an_ipv6_listener_are_counted() -> None:
    with connected(socket.AF_INET6, ("::", 0), "v4", 5) as (listener, _, _):
        where = address.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        assert sockets.established(where) == 5
        assert len(sockets.listeners(where)) == 1


def test_connections_of_a_unix_listener_are_counted_by_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    with connected(socket.AF_UNIX, path, None, 6) as (listener, _, _):
        where = address.parse(f"unix://{path}")
        assert sockets.established(where) == 6
        assert sockets.listeners(where) == {inode(listener)}


FORKING_SERVER = """
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
child = os.fork()
if child == 0:
    listener.close()
    grandchild = os.fork()
    time.sleep(60)
print(port, child, flush=True)
time.sleep(60)
"""


def test_the_server_is_who_holds_the_listener_and_all_its_descendants() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING_SERVER],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        port, forked = process.stdout.readline().split()
        time.sleep(0.1)
        server = discovery.find(address.parse(f"tcp://127.0.0.1:{port}"))
        assert server is not None
        assert {process.pid, int(forked)} < set(server.pids)
        assert len(server.pids) == 3
        assert server.uid == os.getuid()
        assert set(server.cpus) == os.sched_getaffinity(process.pid)
        assert server.pid1 is False
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_server_that_is_gone_is_told_apart_from_one_that_stopped_listening() -> None:
    with child("import time; print(1, flush=True); time.sleep(60)") as process:
        where = address.parse("tcp://127.0.0.1:1")
        probe = Probe(where, [process.pid])
        with pytest.raises(ServerGone, match=r"nobody listens on tcp://127.0.0.1:1 any more"):
            probe.check_alive()
        before = probe.edge(opens=True)
        process.kill()
        process.wait()
        with pytest.raises(ServerGone, match=f"its process is gone .pid {process.pid}."):
            probe.check_alive()
        # The CPU time that it took stays known
        assert probe.edge(opens=False).server_cpu_ns == before.server_cpu_ns > 0


def test_a_reader_that_is_gone_is_an_ending_and_not_an_error() -> None:
    read_end, write_end = os.pipe()
    events = Events(write_end)
    events.emit("hello", pid=1)
    assert os.read(read_end, 100) == b'{"event":"hello","pid":1}\n'
    os.close(read_end)
    with pytest.raises(ReaderGone):
        events.emit("hello", pid=2)
    os.close(write_end)


def test_a_sysctl_that_is_not_there_reads_as_none() -> None:
    values = read_back(["net.core.somaxconn", "net.core.no_such_thing"])
    assert values["net.core.somaxconn"] == Path("/proc/sys/net/core/somaxconn").read_text().strip()
    assert values["net.core.no_such_thing"] is None


def test_the_shape_answers_when_another_number_is_wanted_and_not_before() -> None:
    shape = StepShape(spawn_rate=500)
    asked = gevent.spawn(shape.tick)
    gevent.sleep(0.01)
    assert not asked.ready()
    shape.want(300)
    assert asked.get(timeout=1) == (300, 500.0)
    asked = gevent.spawn(shape.tick)
    gevent.sleep(0.01)
    assert not asked.ready()
    shape.want(0)
    assert asked.get(timeout=1) == (0, 500.0)
