"""Connections: opened, proven, counted, closed, lost and refused."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from echo_server import (
    HELLO_BYTES,
    EchoServer,
    FlippingServer,
    LeavingServer,
    listen_tcp,
    listen_tcp6,
    listen_unix,
    served,
)
from engine_bench import Bench
from engine_driving import TIMEOUT_S, open_connections, start, stop, until

from harness.engine import Engine
from harness.engine.histogram import merge

Echo = tuple[Engine, EchoServer]


def test_every_connection_is_established_by_a_verified_hello(echo: Echo) -> None:
    engine, server = echo

    numbers = open_connections(engine, 50)

    status = engine.status()
    assert numbers == list(range(50))
    assert (status["requested"], status["established"]) == (50, 50)
    assert (status["lost"], status["failed"], status["closed"]) == (0, 0, 0)
    assert status["errors"] == {}
    assert status["echoes"] == 50
    assert status["bytes_sent"] == status["bytes_received"] == server.bytes_received
    assert server.received == [HELLO_BYTES] * 50


def test_a_connection_that_only_sits_in_the_backlog_is_not_established(bench: Bench) -> None:
    address, listener = listen_tcp()
    server = EchoServer(listener, accepting=False)
    bench.defer(server.close)
    engine = bench.engine(address)
    for _ in range(5):
        engine.open()

    def connected() -> Any:
        return merge([engine.status()["ramp"]["connect_histogram"]])

    until(lambda: connected().get_total_count() == 5, "five connects")

    assert engine.status()["established"] == 0
    assert engine.status()["connecting"] == 5

    server.accepting.set()
    until(lambda: engine.status()["established"] == 5, "five established")
    assert engine.status()["connecting"] == 0


def test_close_ends_that_connection_and_no_other(echo: Echo) -> None:
    engine, server = echo
    numbers = open_connections(engine, 3)

    engine.close(numbers[1])
    engine.close(numbers[1])
    engine.close(99)

    assert server.ended[1].wait(TIMEOUT_S)
    until(lambda: engine.status()["closed"] == 1, "one closed")
    status = engine.status()
    assert (status["established"], status["lost"], status["failed"]) == (2, 0, 0)
    assert not server.ended[0].is_set()
    assert not server.ended[2].is_set()


def test_a_connection_closed_before_it_was_opened_is_closed_and_not_failed(echo: Echo) -> None:
    engine, _ = echo
    for _ in range(200):
        engine.close(engine.open())
    until(lambda: engine.status()["closed"] == 200, "all closed")

    status = engine.status()
    assert (status["established"], status["connecting"], status["failed"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("by_reset", "name"), [(False, "eof"), (True, "read ECONNRESET")], ids=["FIN", "RST"]
)
def test_a_connection_that_the_server_ends_is_lost(bench: Bench, by_reset: bool, name: str) -> None:
    address, server = bench.serve(LeavingServer)
    server.by_reset = by_reset
    server.leaves_after = HELLO_BYTES + 640
    engine = bench.engine(address)
    open_connections(engine, 4)

    start(engine, active=3)

    until(lambda: engine.status()["lost"] == 3, "three lost")
    status = engine.status()
    assert (status["established"], status["failed"]) == (1, 0)
    assert sum(status["errors"].values()) == 3
    # The message that meets the closed socket may be the one that finds out.
    assert set(status["errors"]) <= {name, "read ECONNRESET", "write EPIPE", "write ECONNRESET"}
    assert status["outstanding"] == 0


def test_an_idle_connection_that_the_server_ends_is_lost(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 2)

    server.peers[0].shutdown(socket.SHUT_WR)

    until(lambda: engine.status()["lost"] == 1, "one lost")
    assert engine.status()["errors"] == {"eof": 1}
    assert engine.status()["established"] == 1


def test_a_server_that_hangs_up_before_the_hello_fails_the_connection(bench: Bench) -> None:
    address, listener = listen_tcp()
    bench.defer(listener.close)
    engine = bench.engine(address)

    engine.open()
    listener.accept()[0].close()

    until(lambda: engine.status()["failed"] == 1, "failed")
    status = engine.status()
    assert (status["established"], status["lost"]) == (0, 0)
    assert set(status["errors"]) <= {"hello eof", "hello ECONNRESET"}
    assert sum(status["errors"].values()) == 1


def test_a_wrong_hello_fails_the_connection(bench: Bench) -> None:
    address, server = bench.serve(FlippingServer)
    server.flipped_at = 63
    engine = bench.engine(address)

    open_connections(engine, 2)

    status = engine.status()
    assert (status["established"], status["failed"], status["lost"]) == (1, 1, 0)
    assert status["errors"] == {"corrupt": 1}
    assert status["corrupt_bytes"] == 1


def test_refused_connections_are_counted_by_the_name_of_the_error(bench: Bench) -> None:
    address, listener = listen_tcp()
    listener.close()
    engine = bench.engine(address)

    open_connections(engine, 7)

    assert engine.status()["failed"] == 7
    assert engine.status()["errors"] == {"connect ECONNREFUSED": 7}


def test_a_source_that_is_not_ours_is_named_as_such(bench: Bench) -> None:
    address, _ = bench.serve(EchoServer)
    engine = bench.engine(address, sources=("192.0.2.1",))

    open_connections(engine, 1)

    assert engine.status()["errors"] == {"bind EADDRNOTAVAIL": 1}


def test_sources_are_used_round_robin(bench: Bench) -> None:
    address, server = bench.serve(EchoServer)
    engine = bench.engine(address, sources=("127.0.0.2", "127.0.0.3"))

    open_connections(engine, 6)

    hosts = sorted(peer.getpeername()[0] for peer in server.peers)
    assert hosts == ["127.0.0.2"] * 3 + ["127.0.0.3"] * 3


def test_ipv6_works(bench: Bench) -> None:
    address, listener = listen_tcp6()
    with served(EchoServer(listener)):
        engine = bench.engine(address)
        open_connections(engine, 3)

        assert engine.status()["established"] == 3
        engine.shutdown()


def test_unix_sockets_work(bench: Bench, tmp_path: Path) -> None:
    address, listener = listen_unix(tmp_path)
    with served(EchoServer(listener)) as server:
        engine = bench.engine(address)
        open_connections(engine, 3)
        start(engine, active=3, payload_bytes=4096, depth=4)
        until(lambda: engine.status()["echoes"] > 500, "traffic")
        stop(engine)

        assert engine.status()["errors"] == {}
        assert engine.status()["bytes_received"] == server.bytes_received
        engine.shutdown()


def test_a_full_unix_backlog_is_tried_again(bench: Bench, tmp_path: Path) -> None:
    address, listener = listen_unix(tmp_path, backlog=1)
    server = EchoServer(listener, accepting=False)
    bench.defer(server.close)
    engine = bench.engine(address)
    for _ in range(20):
        engine.open()
    until(lambda: engine.status()["bytes_sent"] > 0, "the first hello")
    time.sleep(0.05)  # many retries
    assert engine.status()["established"] == 0

    server.accepting.set()

    until(lambda: engine.status()["established"] == 20, "all established")
    assert engine.status()["errors"] == {}


def test_a_missing_unix_socket_is_named_as_such(bench: Bench, tmp_path: Path) -> None:
    engine = bench.engine(f"unix://{tmp_path}/none")

    open_connections(engine, 1)

    assert engine.status()["errors"] == {"connect ENOENT": 1}


# Run in a process of its own, so that its limit can be lowered.
OPEN_WITH_FEW_FILES = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
from engine_driving import open_connections
from harness.engine import Engine

engine = Engine(sys.argv[2])
limit = 10 + max(int(name) for name in os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
open_connections(engine, 20)
status = engine.status()
print(status["established"], status["failed"], status["errors"])
engine.shutdown()
"""


def test_running_out_of_files_fails_the_rest_by_name(bench: Bench) -> None:
    address, _ = bench.serve(EchoServer)
    directory = str(Path(__file__).parents[1] / "support")
    done = subprocess.run(
        [sys.executable, "-c", OPEN_WITH_FEW_FILES, directory, address],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    established, failed, errors = done.stdout.split(maxsplit=2)
    assert int(established) > 0
    assert int(failed) > 0
    assert int(established) + int(failed) == 20
    assert ast.literal_eval(errors) == {"socket EMFILE": int(failed)}


def test_the_ramp_is_counted_from_its_first_connect(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 10)
    engine.ramp()
    assert engine.status()["ramp"]["timeline"] == []
    assert engine.status()["ramp"]["first_connect_ns"] == 0
    before_ns = time.monotonic_ns()

    open_connections(engine, 30)

    ramp = engine.status()["ramp"]
    assert before_ns < ramp["first_connect_ns"] < ramp["last_established_ns"]
    assert ramp["last_established_ns"] < time.monotonic_ns()
    assert merge([ramp["connect_histogram"]]).get_total_count() == 30
    assert merge([ramp["hello_histogram"]]).get_total_count() == 30
    established = [count for _, count in ramp["timeline"]]
    assert established == list(range(11, 41))
    elapsed_ms = [ms for ms, _ in ramp["timeline"]]
    assert elapsed_ms == sorted(elapsed_ms)
    whole_ms = (ramp["last_established_ns"] - ramp["first_connect_ns"]) / 1e6
    assert elapsed_ms[-1] == pytest.approx(whole_ms)


def test_a_long_ramp_keeps_a_timeline_of_at_most_200_points(echo: Echo) -> None:
    engine, _ = echo

    open_connections(engine, 450)

    timeline = engine.status()["ramp"]["timeline"]
    assert 100 <= len(timeline) <= 200
    established = [count for _, count in timeline]
    assert established == sorted(set(established))
    assert established[-1] == 450
