"""Servers that are a fixed number of workers, and those that need io_uring of the host."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import (
    BUILD_S,
    PATIENCE_S,
    POOLS,
    RING,
    SERVERS,
    STOP_S,
    Flavour,
    Server,
    echo,
    fill,
    free_port,
    missing_packages,
    pattern,
    receive_all,
    reset,
    run_to_end,
    served,
    skipped,
    until,
    variants,
)
from serving_network import libc

USAGE, RUNTIME, UNAVAILABLE = 2, 1, 69
RINGS = [name for name in variants() if name.startswith(RING)]
BEYOND = 20
FLAVOURS = [Flavour(name, sanitizer) for name in POOLS for sanitizer in ("", "address")]
FLAVOURS += [Flavour("thread-pool", "thread")]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SYS_IO_URING_SETUP = 425  # the same on every architecture


@pytest.fixture(params=FLAVOURS, ids=str)
def pool(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    return chosen


@pytest.fixture(params=RINGS)
def ring(request: pytest.FixtureRequest) -> Flavour:
    return Flavour(request.param, "")


def children(pid: int) -> list[int]:
    """The processes that this one has forked."""
    return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(server: Server) -> list[int]:
    """All of them: the first serves while the others are being forked."""
    count = variants()["prefork"]["workers"]
    assert until(lambda: len(children(server.pid)) == count)
    return children(server.pid)


@pytest.mark.parametrize("kind", ["tcp4", "tcp6", "unix"])
def test_a_pool_serves_every_kind_of_address(
    pool: Flavour, start: Callable[..., Server], kind: str, tmp_path: Path
) -> None:
    port = free_port()
    address = {
        "tcp4": f"tcp://0.0.0.0:{port}",
        "tcp6": f"tcp://[::]:{port}",
        "unix": f"unix://{tmp_path}/echo.sock",
    }[kind]
    server = start(pool, address)
    peers = [server.connect() for _ in range(8)]

    for seed, peer in enumerate(peers):
        assert echo(peer, pattern(100_000, seed))
        peer.shutdown(socket.SHUT_WR)
        assert receive_all(peer) == b""

    assert server.stop_well()["closed"] == 8 + 1
    assert not (tmp_path / "echo.sock").exists()


def test_who_comes_beyond_the_workers_waits_and_is_served_when_one_leaves(
    pool: Flavour, start: Callable[..., Server]
) -> None:
    server = start(pool)
    assert pool.connections_max is not None
    peers = [server.connect() for _ in range(pool.connections_max)]
    assert len(served(peers, PATIENCE_S)) == len(peers)
    waiting = [server.connect() for _ in range(BEYOND)]
    assert served(waiting, patience_s=0.3) == []

    for peer in peers[: BEYOND // 2]:
        peer.close()
    for peer in peers[BEYOND // 2 : BEYOND]:
        reset(peer)

    for peer in waiting:
        peer.settimeout(PATIENCE_S)
        assert peer.recv(1) == b"?"
    counters = server.stop_well()
    assert counters["accepted"] == 1 + len(peers) + BEYOND
    assert counters["closed"] == 1 + BEYOND


def test_the_workers_counters_add_up_now_and_at_the_end(
    pool: Flavour, start: Callable[..., Server]
) -> None:
    server = start(pool)
    peers = [server.connect() for _ in range(50)]
    size = sum(1000 + 997 * index for index in range(50))
    for index, peer in enumerate(peers):
        assert echo(peer, pattern(1000 + 997 * index, index))

    # A worker counts after the send, so its peer may be here before
    assert until(lambda: server.counters_now()["bytes_out"] == size + 1)
    for peer in peers[:20]:
        peer.shutdown(socket.SHUT_WR)
        assert receive_all(peer) == b""

    counters = server.stop_well(signal.SIGINT)
    assert (counters["accepted"], counters["closed"]) == (51, 21)
    assert counters["bytes_in"] == counters["bytes_out"] == size + 1
    assert counters["waits"] == counters["events"] == 0


def test_a_pool_stops_in_time_with_output_that_nobody_takes_and_leaves_nobody(
    pool: Flavour, start: Callable[..., Server]
) -> None:
    server = start(pool)
    peers = [server.connect() for _ in range(50)]
    assert all(echo(peer, b"?") for peer in peers)
    (sent,) = fill(peers[0])
    workers = children(server.pid)

    counters = server.stop_well()

    assert 0 < counters["bytes_out"] < len(sent)
    assert counters["bytes_out"] <= counters["bytes_in"] <= counters["bytes_out"] + 16 * 1024
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert echo(start(pool, server.address).connect(), b"?")


def test_a_pool_refuses_bad_input_and_a_port_in_use(
    pool: Flavour, start: Callable[..., Server]
) -> None:
    server = start(pool)

    assert run_to_end(pool, LISTEN="nowhere").exit_code == USAGE
    ended = run_to_end(pool, LISTEN=server.address)
    assert ended.exit_code == RUNTIME
    assert ended.stderr.endswith("bind: Address already in use\n")
    assert echo(server.connect(), b"?")


def test_a_worker_process_that_is_killed_is_replaced(start: Callable[..., Server]) -> None:
    server = start(Flavour("prefork", ""))
    before = workers_of(server)
    peers = [server.connect() for _ in range(len(before))]
    assert len(served(peers, PATIENCE_S)) == len(peers)

    os.kill(before[0], signal.SIGKILL)

    assert until(lambda: len(set(children(server.pid)) - set(before)) == 1)
    assert len(served([server.connect()], PATIENCE_S)) == 1  # there is nobody else to serve it
    counters = server.stop_well()
    assert counters["accepted"] == len(peers) + 2
    assert counters["closed"] == 2


def test_no_worker_outlives_a_parent_that_is_killed(start: Callable[..., Server]) -> None:
    server = start(Flavour("prefork", ""))
    workers = workers_of(server)

    server.stop(signal.SIGKILL)

    def ended(pid: int) -> bool:
        try:  # nobody here reaps them
            return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    assert until(lambda: all(ended(pid) for pid in workers))


def test_a_ring_waits_for_a_descriptor_and_goes_on(ring: Flavour) -> None:
    limit = 24
    address = f"tcp://127.0.0.1:{free_port()}"
    command = ["prlimit", f"--nofile={limit}:{limit}", "--", str(ring.binary())]
    process = subprocess.Popen(command, env={"LISTEN": address}, stderr=subprocess.PIPE, text=True)
    server = Server(ring, address, process)
    try:
        assert until(server.answers)
        room = limit - len(server.descriptors())
        peers = [server.connect() for _ in range(room + 5)]
        first = served(peers, patience_s=0.5)
        assert len(first) == room
        assert server.cpu_share(0.3) < 0.2

        for peer in first[:5]:
            peer.close()

        for peer in peers:
            if peer not in first:
                peer.settimeout(PATIENCE_S)
                assert peer.recv(1) == b"?"
        assert server.stop_well()["accepted"] == 1 + room + 5
    finally:
        server.discard()


def test_a_host_without_io_uring_is_told_in_one_line(ring: Flavour) -> None:
    binary = ring.binary()
    if platform.machine() != "x86_64":
        pytest.skip("the filter is for one architecture")

    done = subprocess.run(
        [binary],
        env={"LISTEN": f"tcp://127.0.0.1:{free_port()}"},
        preexec_fn=forbid_io_uring,
        capture_output=True,
        text=True,
        timeout=STOP_S,
    )

    assert done.returncode == UNAVAILABLE
    assert done.stderr == (
        f"{ring.variant}: io_uring is not available here: io_uring_setup: Operation not permitted "
        "(kernel.io_uring_disabled, or a seccomp profile)\n"
    )


def forbid_io_uring() -> None:
    """From now on io_uring_setup fails with EPERM, as under a profile that does not list it."""
    load, jump_if_equal, give = 0x20, 0x15, 0x06  # <linux/bpf_common.h>
    allow, fail = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM
    program = b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (load, 0, 0, 0),  # the number of the system call
            (jump_if_equal, 0, 1, SYS_IO_URING_SETUP),
            (give, 0, 0, fail),
            (give, 0, 0, allow),
        )
    )
    code = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) == 0


def test_without_liburing_the_others_are_built_and_that_is_said(tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text('#!/bin/sh\ncase "$*" in *-fsyntax-only*) exit 1;; esac\nexec g++ "$@"\n')
    compiler.chmod(0o755)

    plan = subprocess.run(
        ["make", "-C", str(SERVERS), "--always-make", "-n", "all", f"CXX={compiler}"],
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=True,
    ).stdout

    said = re.findall(r'^echo "(.*)"$', plan, re.M)
    need = "needs liburing 2.3 (Debian: liburing-dev)"
    assert sorted(said) == sorted(f"{name}: skipped: {need}" for name in RINGS)
    assert set(re.findall(r"-o build/([a-z-]+) ", plan)) == set(variants()) - set(RINGS)


def test_with_liburing_nothing_is_skipped() -> None:
    if missing := missing_packages(RING):
        pytest.skip(f"not installed: {missing}")

    assert skipped() == frozenset()
