"""The server as the suite sees it: all its processes, stopped, limited and killed as one."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness.conformance.observed_server import Target, alive, until
from harness.contract.address import parse
from harness.host import procfs

# Listens, forks once per byte that it reads, and opens descriptors with a gap in their numbers.
FORKS = """
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
low, high = os.open("/dev/null", 0), [os.open("/dev/null", 0) for _ in range(3)]
os.close(low)
print(listener.getsockname()[1], flush=True)
while os.read(0, 1):
    if os.fork() == 0:
        while True:
            time.sleep(1)
"""
# Listens, with many threads that wait for a connection each.
ACCEPTS_IN_THREADS = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
def serve():
    while True:
        listener.accept()[0].sendall(b"!")
for _ in range(50):
    threading.Thread(target=serve, daemon=True).start()
print(listener.getsockname()[1], flush=True)
threading.Event().wait()
"""
# Listens, and forks as fast as it can: children that hold its listener and outlive it.
FORKS_ON = """
import os, socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
for _ in range(500):
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    time.sleep(0.001)
"""
# From the first byte that it reads on it has some dozens of children at any time, each of which
# ends after some hundredths of a second.
COME_AND_GO = """
import os, signal, socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.read(0, 1)
while True:
    if os.fork() == 0:
        time.sleep(0.05)
        os._exit(0)
    time.sleep(0.001)
"""
WAIT_S = 5.0
LOOKS = 20


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server; nothing of its session is left."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def forking() -> Iterator[subprocess.Popen[bytes]]:
    with running(FORKS) as process:
        yield process


def target_of(process: subprocess.Popen[bytes]) -> Target:
    assert process.stdout is not None
    found = Target.find(parse(f"tcp://127.0.0.1:{int(process.stdout.readline())}"))
    assert found is not None
    return found


@pytest.fixture
def target(forking: subprocess.Popen[bytes]) -> Target:
    return target_of(forking)


def fork(forking: subprocess.Popen[bytes], target: Target, children: int) -> list[int]:
    """Have it fork so many more; all its processes."""
    assert forking.stdin is not None
    expected = len(target.running()) + children
    forking.stdin.write(b"+" * children)
    assert until(lambda: len(target.running()) == expected, WAIT_S)
    return target.pids


def test_nobody_is_found_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert Target.find(parse(f"tcp://127.0.0.1:{port}")) is None


def test_processes_that_are_forked_later_belong_to_the_server(
    forking: subprocess.Popen[bytes], target: Target
) -> None:
    alone = target.descriptors()

    pids = fork(forking, target, children=2)

    assert target.root == forking.pid
    assert target.threads() == 3
    assert target.descriptors() == 3 * alone
    assert forking.pid in pids


def test_a_frozen_server_does_nothing_at_all_and_goes_on_afterwards(
    forking: subprocess.Popen[bytes], target: Target
) -> None:
    pids = fork(forking, target, children=2)

    with target.frozen():
        texts = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
        states = {procfs.process_stat(text).state for text in texts}

    assert states == {"T"}
    assert len(fork(forking, target, children=1)) == len(pids) + 1


def test_a_frozen_server_has_no_thread_that_still_accepts() -> None:
    with running(ACCEPTS_IN_THREADS) as process:
        target = target_of(process)
        host, port = "127.0.0.1", target.address.port
        with target.frozen():
            peers = [socket.create_connection((host, port), timeout=5) for _ in range(20)]
            queued = Path("/proc/net/tcp").read_text().splitlines()
        thawed = [peer.recv(1) for peer in peers]
    # Of a listener (0A) rx_queue is the length of its accept queue (tcp_get_info's sk_ack_backlog)
    (waiting,) = [
        int(line.split()[4].split(":")[1], 16)
        for line in queued
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    ]

    assert waiting == len(peers)
    assert thawed == [b"!"] * len(peers)


def test_killing_a_server_leaves_none_of_its_processes(
    forking: subprocess.Popen[bytes], target: Target
) -> None:
    pids = fork(forking, target, children=2)

    target.kill()

    assert alive(pids) == []
    assert not target.listens()


def test_killing_a_server_that_is_forking_leaves_its_port_to_a_successor() -> None:
    with running(FORKS_ON) as process:
        target = target_of(process)
        until(lambda: len(target.running()) > 20, WAIT_S)

        target.kill()

        assert target.address.port is not None
        socket.create_server(("127.0.0.1", target.address.port)).close()


def test_processes_that_end_while_they_are_looked_at_are_no_failure() -> None:
    with running(COME_AND_GO) as process:
        target = target_of(process)
        assert process.stdin is not None
        process.stdin.write(b"+")
        assert until(lambda: len(target.running()) > 5, WAIT_S)

        for _ in range(LOOKS):
            assert target.descriptors() > 0
            assert target.threads() > 0
            assert target.resident_bytes() > 0
            with target.room_for(5):
                pass


def test_room_for_more_descriptors_is_exact_and_given_back(target: Target) -> None:
    used = {int(path.name) for path in Path(f"/proc/{target.root}/fd").iterdir()}
    before = resource.prlimit(target.root, resource.RLIMIT_NOFILE)

    with target.room_for(5):
        soft, hard = resource.prlimit(target.root, resource.RLIMIT_NOFILE)

    assert len(set(range(soft)) - used) == 5
    assert hard == before[1]
    assert resource.prlimit(target.root, resource.RLIMIT_NOFILE) == before


def test_a_condition_that_never_comes_true_is_given_up() -> None:
    asked = itertools.count()

    assert not until(lambda: next(asked) < 0, 0.05)
    assert next(asked) > 1
