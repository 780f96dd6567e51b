"""What a server echoes, to whom, and what a peer can do to it and to the others."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import (
    BUFFER_BYTES,
    THREADED,
    Flavour,
    Server,
    echo,
    fill,
    free_port,
    pattern,
    receive,
    receive_all,
    reset,
    until,
)

IDLE_SHARE_MAX = 0.2  # of one CPU: a server that spins takes all of it
EDGES = sorted({1, 2, *(n * BUFFER_BYTES + d for n in (1, 2, 3, 4, 5) for d in (-1, 0, 1))})
SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>


def test_every_size_around_the_buffer_comes_back_exactly(server: Server) -> None:
    connection = server.connect()

    for size in (*EDGES, 1 << 20):
        assert echo(connection, pattern(size, seed=size)), size
    connection.shutdown(socket.SHUT_WR)

    assert receive_all(connection) == b""
    assert server.stop_well()["bytes_in"] == sum(EDGES) + (1 << 20) + 1


@pytest.mark.parametrize("kind", ["tcp4", "tcp6", "unix"])
def test_every_kind_of_address_is_served(
    flavour: Flavour, start: Callable[..., Server], kind: str, tmp_path: Path
) -> None:
    port = free_port()
    address = {
        "tcp4": f"tcp://0.0.0.0:{port}",
        "tcp6": f"tcp://[::]:{port}",
        "unix": f"unix://{tmp_path}/echo.sock",
    }[kind]
    server = start(flavour, address)
    peers = [server.connect() for _ in range(8)]

    assert all(echo(peer, pattern(100_000, seed)) for seed, peer in enumerate(peers))

    server.stop_well()


def test_an_ipv6_address_leaves_the_port_to_ipv4(
    flavour: Flavour, start: Callable[..., Server]
) -> None:
    port = free_port()
    six = start(flavour, f"tcp://[::]:{port}")
    four = start(flavour, f"tcp://0.0.0.0:{port}")

    assert echo(six.connect(), b"six")
    assert echo(four.connect(), b"four")


def test_all_that_was_sent_comes_back_after_a_half_close(server: Server) -> None:
    connection = server.connect()
    (sent,) = fill(connection)
    connection.shutdown(socket.SHUT_WR)

    assert len(sent) > 10 * BUFFER_BYTES
    assert receive_all(connection) == sent


def test_a_peer_that_does_not_read_delays_nobody_and_loses_nothing(server: Server) -> None:
    slow = server.connect()
    (sent,) = fill(slow)
    other = server.connect()

    assert echo(other, pattern(300_000))
    assert server.cpu_share() < IDLE_SHARE_MAX
    assert receive(slow, len(sent)) == sent
    assert echo(slow, pattern(300_000))
    counters = server.stop_well()
    assert counters["bytes_in"] == counters["bytes_out"] == len(sent) + 2 * 300_000 + 1


def test_memory_for_peers_that_do_not_read_is_one_buffer_each(
    start: Callable[..., Server], plain: Flavour
) -> None:
    server = start(plain)
    peers = [server.connect() for _ in range(20)]
    assert all(echo(peer, b"warm") for peer in peers)
    before = server.anonymous_bytes()

    fill(*peers)

    page = 4096  # a thread's stack, or an allocation, begins and ends within one
    assert server.anonymous_bytes() - before <= len(peers) * (plain.held_bytes_max + 2 * page)


def test_data_and_end_in_one_go_are_both_seen(server: Server) -> None:
    for seed in range(200):
        data = pattern(1 + seed * 331, seed)
        connection = server.connect()
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert receive_all(connection) == data
        connection.close()

    assert server.stop_well()["closed"] == 201


def test_resets_in_any_state_hurt_nobody_else(server: Server) -> None:
    witness = server.connect()
    assert echo(witness, b"before")
    base = server.descriptors()

    for round_ in range(25):
        reset(server.connect())
        asking = server.connect()
        asking.sendall(pattern(BUFFER_BYTES))
        reset(asking)
        answered = server.connect()
        assert echo(answered, b"answer")
        reset(answered)
        half_closed = server.connect()
        half_closed.sendall(pattern(4 * BUFFER_BYTES))
        half_closed.shutdown(socket.SHUT_WR)
        reset(half_closed)
        assert echo(witness, pattern(1000, round_))
    stalled = server.connect()
    fill(stalled)
    reset(stalled)

    assert until(lambda: server.descriptors() == base)
    assert until(lambda: server.cpu_share(0.2) < IDLE_SHARE_MAX)
    assert echo(witness, b"after")
    server.stop_well()


def test_closing_and_connecting_at_once_mixes_no_streams(server: Server) -> None:
    peers = [server.connect() for _ in range(50)]
    for round_ in range(10):
        for index in range(0, len(peers), 2):
            peers[index].sendall(b"left behind")
            peers[index].close()
            peers[index] = server.connect()
        for index, peer in enumerate(peers):
            peer.sendall(f"{round_}:{index}".encode())
        for index, peer in enumerate(peers):
            text = f"{round_}:{index}".encode()
            assert receive(peer, len(text)) == text


def test_who_has_sent_megabytes_takes_turns_with_the_others(
    start: Callable[..., Server], event_loop: Flavour
) -> None:
    with one_cpu():  # connections take turns within a loop, not between loops
        server = start(event_loop)
    flooder, *others = (server.connect() for _ in range(5))
    assert all(echo(peer, b"?") for peer in (flooder, *others))
    for peer in (flooder, *others):
        peer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    server.interrupt("SIGSTOP")
    (sent,) = fill(flooder)  # is ready first
    for peer in others:
        peer.sendall(b"!")
    # On a busy host the kernel may deliver a packet late, and the server would find the flooder's
    assert until(lambda: not any(map(unacknowledged_bytes, others)))

    with ThreadPoolExecutor() as executor:  # reads while the server writes: nothing holds it back
        flooded = executor.submit(arrivals, flooder, len(sent))
        server.interrupt("SIGCONT")
        answered_ns = max(arrivals(peer, 1)[-1][1] for peer in others)
        before_bytes = [total for total, ns in flooded.result() if ns < answered_ns]

    assert len(sent) > 1 << 20
    assert max(before_bytes, default=0) <= 256 * 1024


def unacknowledged_bytes(connection: socket.socket) -> int:
    """What was sent and has not reached the peer's socket yet: SIOCOUTQ, tcp(7)."""
    answer = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


@contextmanager
def one_cpu() -> Iterator[None]:
    """Restrict processes that are started meanwhile to one CPU, and so to one loop.

    A server with a loop per CPU has its connections spread over the loops by the kernel. On a busy
    host one loop may wait for its CPU while another sends megabytes, whatever the server does.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def arrivals(connection: socket.socket, size: int) -> list[tuple[int, int]]:
    """Read `size` bytes: how many were there in all, and at what time of the kernel's, in ns."""
    found = []
    total = 0
    while total < size:
        data, [(_, _, stamp)], *_ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(16))
        seconds, nanoseconds = struct.unpack("qq", stamp)
        total += len(data)
        found.append((total, int(seconds) * 10**9 + int(nanoseconds)))
    return found


def test_a_socket_that_takes_little_at_a_time_loses_nothing(
    flavour: Flavour, start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(flavour, f"unix://{tmp_path}/echo.sock")
    before = server.descriptors()
    connection = server.connect()
    assert echo(connection, b"?")
    (accepted,) = server.descriptors() - before
    with server.copy_of_socket(accepted) as socket_of_server:
        socket_of_server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least it grants

    assert echo(connection, pattern(1 << 20))

    assert server.stop_well()["bytes_out"] == (1 << 20) + 2


def test_small_writes_are_not_held_back(server: Server) -> None:
    before = server.descriptors()
    assert echo(server.connect(), b"?")
    (accepted,) = server.descriptors() - before

    with server.copy_of_socket(accepted) as socket_of_server:
        assert socket_of_server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_an_idle_connection_costs_less_than_a_kilobyte_of_user_memory(
    start: Callable[..., Server], plain: Flavour
) -> None:
    server = start(plain)
    before = server.anonymous_bytes()
    peers = [server.connect() for _ in range(1000)]
    assert all(echo(peer, b"warm") for peer in peers)

    each = (server.anonymous_bytes() - before) / len(peers)

    # A thread's own block, the pages of its stack that were reached, and its buffer's first page;
    # or the buffer of a recv that is in the kernel.
    waits_alone = plain.variant not in (THREADED, "io-uring-naive")
    assert each < (1024 if waits_alone else 4 * 4096)


def test_signals_that_mean_nothing_to_a_server_disturb_nothing(server: Server) -> None:
    connection = server.connect()
    for round_ in range(50):
        for name in ("SIGSTOP", "SIGCONT", "SIGWINCH", "SIGCHLD", "SIGURG"):
            server.interrupt(name)
        assert echo(connection, pattern(2000, round_))
    time.sleep(0.05)

    assert server.stop_well()["bytes_out"] == 50 * 2000 + 1
