"""The server that the generator is measured against: what it does wrong is exactly what it says."""

from __future__ import annotations

import socket
import time

import pytest
from engine_bench import Bench
from engine_driving import TIMEOUT_S, open_connections, start, stop, until

from harness.engine import NullServer, histogram, measure_overhead

MESSAGE = bytes(range(256)) * 4


def connected(bench: Bench, server: NullServer) -> socket.socket:
    host, port = server.address.removeprefix("tcp://").split(":")
    client = socket.create_connection((host, int(port)), TIMEOUT_S)
    bench.defer(client.close)
    return client


def serving(bench: Bench, **faults: object) -> NullServer:
    server = NullServer(**faults)  # type: ignore[arg-type]
    bench.defer(server.shutdown)
    return server


def received(client: socket.socket, size: int) -> bytes:
    """`size` bytes, or fewer when the server ends the connection."""
    data = b""
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return data


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return received(client, len(data))


def test_it_echoes_and_counts_nothing_wrong(bench: Bench) -> None:
    server = serving(bench)

    assert echoed(connected(bench, server), MESSAGE) == MESSAGE
    assert server.counts() == {"accepted": 1, "dropped": 0, "corrupted": 0, "delayed": 0}


def test_a_client_that_sends_without_reading_gets_everything_later(bench: Bench) -> None:
    client = connected(bench, serving(bench))
    client.setblocking(False)
    sent = 0
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < 0.5:
        try:
            sent += client.send(MESSAGE[sent % len(MESSAGE) :])
            idle_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    client.settimeout(TIMEOUT_S)

    assert received(client, sent) == (MESSAGE * (sent // len(MESSAGE) + 1))[:sent]


def test_every_nth_byte_has_one_bit_flipped(bench: Bench) -> None:
    server = serving(bench, corrupt_every_bytes=100)

    data = echoed(connected(bench, server), MESSAGE)

    wrong = [at for at in range(len(MESSAGE)) if data[at] != MESSAGE[at]]
    assert wrong == list(range(99, len(MESSAGE), 100))
    assert server.counts()["corrupted"] == len(wrong)


def test_every_nth_connection_is_closed_instead_of_its_first_echo(bench: Bench) -> None:
    server = serving(bench, drop_every_connections=3)

    answers = [echoed(connected(bench, server), MESSAGE) for _ in range(7)]

    assert answers == [MESSAGE, MESSAGE, b""] * 2 + [MESSAGE]
    assert server.counts()["dropped"] == 2


def test_every_nth_reply_comes_late_and_none_overtakes_it(bench: Bench) -> None:
    server = serving(bench, delay_every_replies=3, delay_ns=50_000_000)
    client = connected(bench, server)

    took_s = []
    for number in range(6):
        started_s = time.monotonic()
        assert echoed(client, bytes([number])) == bytes([number])
        took_s.append(time.monotonic() - started_s)
    assert server.counts()["delayed"] == 2
    # Sent while a reply is held back: it waits behind it.
    for number in range(6):
        client.sendall(bytes([number]))
        time.sleep(0.005)

    assert min(took_s[2], took_s[5]) >= 0.05
    assert received(client, 6) == bytes(range(6))


def test_given_delays_are_used_in_turn(bench: Bench) -> None:
    delays_ns = [20_000_000, 60_000_000, 100_000_000]
    server = serving(bench, delays_ns=delays_ns)
    client = connected(bench, server)

    took_ns = []
    for _ in range(6):
        started_ns = time.monotonic_ns()
        echoed(client, b"x")
        took_ns.append(time.monotonic_ns() - started_ns)

    assert all(took >= delay for took, delay in zip(took_ns, delays_ns * 2, strict=True))
    assert server.counts()["delayed"] == 6


def test_it_stands_still_when_it_is_told_to(bench: Bench) -> None:
    stop_at_ns = time.monotonic_ns() + 200_000_000
    server = serving(bench, stop_at_ns=stop_at_ns, stop_for_ns=400_000_000)
    client = connected(bench, server)
    assert echoed(client, b"before") == b"before"

    until(lambda: time.monotonic_ns() > stop_at_ns + 20_000_000, "it stands still")
    assert echoed(client, b"during") == b"during"

    assert time.monotonic_ns() >= stop_at_ns + 400_000_000


def test_the_engine_and_the_null_server_run_in_one_process(bench: Bench) -> None:
    server = serving(bench)
    engine = bench.engine(server.address)
    open_connections(engine, 50)

    start(engine, active=50, depth=4, payload_bytes=5000)
    until(lambda: engine.status()["cell_echoes"] > 1000, "echoes")
    stop(engine)
    server.shutdown()
    until(lambda: engine.status()["lost"] == 50, "the server has gone")

    assert engine.status()["errors"] == {"eof": 50}


def test_a_cpu_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="cpu 4000"):
        NullServer(cpu=4000)
    with pytest.raises(ValueError, match="cpu 4000"):
        measure_overhead(4000)


def test_measuring_has_a_cost_that_is_told() -> None:
    clock_read_ns, lags = measure_overhead()

    assert 0 < clock_read_ns < 1_000_000
    assert histogram.percentiles(histogram.merge([lags]))["count"] == 500
