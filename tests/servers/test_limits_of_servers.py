"""What happens where something runs out: descriptors, room in a set, threads, the backlog."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import (
    PLAIN,
    THREADED,
    Flavour,
    Server,
    echo,
    free_port,
    pattern,
    receive,
    served,
    until,
)

IDLE_SHARE_MAX = 0.2  # of one CPU: a server that spins takes all of it
OPEN_FILES = 64
BEYOND_FD_SETSIZE = 1100


def test_connections_beyond_the_open_files_wait_and_are_served_later(
    start: Callable[..., Server], asks_limits: Flavour
) -> None:
    server = start(asks_limits)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    room = OPEN_FILES - len(server.descriptors())
    peers = [server.connect() for _ in range(room + 20)]

    first = served(peers, patience_s=0.5)
    waiting = [peer for peer in peers if peer not in first]
    assert len(first) == room
    assert server.cpu_share(0.3) < IDLE_SHARE_MAX
    assert echo(first[0], pattern(50_000))

    for peer in first[1:]:
        peer.close()
    for peer in waiting:
        peer.settimeout(5)
        assert peer.recv(1) == b"?"
    assert echo(first[0], pattern(50_000))
    server.stop_well()


def test_a_server_holds_what_it_declares_and_refuses_the_rest_cleanly(server: Server) -> None:
    declared = server.flavour.connections_max or BEYOND_FD_SETSIZE
    peers = [server.connect() for _ in range(BEYOND_FD_SETSIZE)]

    held = []
    for peer in peers:
        try:
            peer.sendall(b"?")
            if peer.recv(1) == b"?":
                held.append(peer)
        except ConnectionError:
            continue

    assert len(held) == min(declared, BEYOND_FD_SETSIZE)
    for round_ in range(2):
        data = pattern(64, round_)
        for peer in held:
            peer.sendall(data)
        assert all(receive(peer, len(data)) == data for peer in held)
    counters = server.stop_well()
    assert counters["accepted"] == BEYOND_FD_SETSIZE + 1
    assert counters["closed"] == 1 + BEYOND_FD_SETSIZE - len(held)


def test_a_refused_connection_leaves_room_for_a_later_one(
    start: Callable[..., Server], capped: Flavour
) -> None:
    server = start(capped)
    assert capped.connections_max is not None
    peers = [server.connect() for _ in range(capped.connections_max)]
    assert all(echo(peer, b"?") for peer in peers)
    assert server.connect().recv(1) == b""

    peers.pop().close()

    assert until(lambda: len(server.descriptors()) < 1024)
    assert echo(server.connect(), pattern(1000))


@pytest.fixture(params=[each for each in PLAIN if each.connections_max], ids=str)
def capped(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    return chosen


def test_a_connection_that_gets_no_thread_is_closed_and_the_others_go_on(
    start: Callable[..., Server],
) -> None:
    server = start(Flavour(THREADED, ""))
    first = [server.connect() for _ in range(10)]
    assert all(echo(peer, b"?") for peer in first)
    status = Path(f"/proc/{server.pid}/status").read_text()
    size = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmSize:")) * 1024
    limit = size + 512 * 1024  # address space for a few more stacks of 64 KiB
    resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, limit))

    later = [server.connect() for _ in range(100)]
    outcomes = [peer.recv(1) if refused(peer) else b"?" for peer in later]

    assert 50 < outcomes.count(b"") < 100
    assert all(echo(peer, pattern(5000)) for peer in first)
    assert server.cpu_share() < IDLE_SHARE_MAX
    for peer in first[1:]:
        peer.close()
    assert until(lambda: echo_or_refused(server))
    server.stop_well()


def refused(connection: socket.socket) -> bool:
    """Did the peer end it without a byte? (One that is held says nothing, for as long as this.)"""
    connection.settimeout(0.05)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    finally:
        connection.settimeout(5)


def echo_or_refused(server: Server) -> bool:
    connection = server.connect()
    try:
        return echo(connection, b"?")
    except ConnectionError:
        return False


def test_the_backlog_is_what_was_asked_for(flavour: Flavour, start: Callable[..., Server]) -> None:
    server = start(flavour, f"tcp://127.0.0.1:{free_port()}", BACKLOG="4")
    server.interrupt("SIGSTOP")
    connected = 0
    for _ in range(20):
        try:
            server.connect(timeout_s=0.05)
            connected += 1
        except TimeoutError:
            break
    server.interrupt("SIGCONT")

    # The queue is full when it is *longer* than the backlog (sk_acceptq_is_full): one more is in.
    # Where each loop has a queue of its own, the first that is full is met before all are.
    queues = server.loops() if flavour.variant == "reuseport" else 1
    assert 5 <= connected <= 5 * queues
    assert all(echo(peer, b"?") for peer in server.connections[-5:])


def test_connections_that_come_all_at_once_are_all_served(server: Server) -> None:
    server.interrupt("SIGSTOP")
    peers = [server.connect() for _ in range(300)]  # more than a loop accepts at one wake-up
    server.interrupt("SIGCONT")

    assert len(served(peers, patience_s=5.0)) == len(peers)
    assert all(echo(peer, b"?") for peer in peers)


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one(
    flavour: Flavour, start: Callable[..., Server]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server = start(flavour)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (hard, hard)
