"""Every reply byte is verified: what is right passes at any size, what is wrong never does."""

from __future__ import annotations

import pytest
from echo_server import (
    HELLO_BYTES,
    DroppingServer,
    EchoServer,
    FlippingServer,
    RepeatingServer,
    SurplusServer,
    SwappingServer,
)
from engine_bench import Bench
from engine_driving import open_connections, run_cell, start, stop, until

from harness.engine import Engine, EngineStatus

Echo = tuple[Engine, EchoServer]


@pytest.mark.parametrize("depth", [1, 3, 64])
@pytest.mark.parametrize("payload_bytes", [1, 7, 8, 9, 64, 1000, 1024, 1025, 16384, 65536])
def test_messages_of_any_size_and_depth_come_back_verified(
    echo: Echo, payload_bytes: int, depth: int
) -> None:
    engine, server = echo
    open_connections(engine, 3)

    start(engine, active=2, payload_bytes=payload_bytes, depth=depth)
    until(lambda: engine.status()["echoes"] > 3 + 8 * depth, "several rounds of echoes")
    stop(engine)

    status = engine.status()
    assert (status["corrupt_bytes"], status["lost"], status["errors"]) == (0, 0, {})
    assert status["bytes_sent"] == status["bytes_received"] == server.bytes_received
    assert status["bytes_sent"] == 3 * HELLO_BYTES + (status["echoes"] - 3) * payload_bytes


def test_more_than_the_sockets_can_hold_does_not_deadlock(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 2)

    # 64 MiB on their way where the buffers of both ends hold a few.
    start(engine, active=2, payload_bytes=1 << 20, depth=32)
    until(lambda: engine.status()["echoes"] > 2 + 2 * 64, "two rounds")
    stop(engine)

    assert engine.status()["errors"] == {}
    assert engine.status()["bytes_received"] == server.bytes_received


def test_cells_may_differ_on_the_same_connections(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 4)

    for payload_bytes, depth in [(64, 1), (2000, 5), (1, 9), (64, 1)]:
        run_cell(engine, active=3, payload_bytes=payload_bytes, depth=depth, window_ns=20_000_000)

    assert engine.status()["errors"] == {}
    assert engine.status()["bytes_received"] == server.bytes_received


def status_after_a_flip(bench: Bench, payload_bytes: int, place: int) -> EngineStatus:
    """Drive one connection whose byte `place` after the hello comes back with a flipped bit."""
    address, server = bench.serve(FlippingServer)
    server.flipped_at = HELLO_BYTES + place
    engine = bench.engine(address)
    open_connections(engine, 1)
    start(engine, active=1, payload_bytes=payload_bytes)
    until(lambda: engine.status()["lost"] == 1, f"flip of byte {place} caught")
    return engine.status()


@pytest.mark.parametrize("payload_bytes", [1, 12, 3000])
def test_each_flipped_bit_is_caught(bench: Bench, payload_bytes: int) -> None:
    # All bytes of two small messages; around the edges of the header in a large one.
    places = range(2 * payload_bytes) if payload_bytes < 100 else [0, 7, 8, 1024, 2999, 3000, 5999]
    for place in places:
        status = status_after_a_flip(bench, payload_bytes, place)
        assert status["corrupt_bytes"] == 1, place
        assert status["errors"] == {"corrupt": 1}
        assert status["echoes"] == 1 + place // payload_bytes
        assert (status["established"], status["outstanding"]) == (0, 0)


def test_one_corrupt_connection_does_not_end_the_others(bench: Bench) -> None:
    address, server = bench.serve(FlippingServer)
    server.flipped_at = HELLO_BYTES + 6_400
    engine = bench.engine(address)
    open_connections(engine, 5)

    start(engine, active=5)
    until(lambda: engine.status()["lost"] == 1, "the flip caught")
    echoes = engine.status()["echoes"]
    until(lambda: engine.status()["echoes"] > echoes + 400, "the others go on")
    stop(engine)

    assert engine.status()["established"] == 4
    assert engine.status()["errors"] == {"corrupt": 1}


def test_a_dropped_byte_is_caught(bench: Bench) -> None:
    address, server = bench.serve(DroppingServer)
    server.dropped_at = HELLO_BYTES + 100
    engine = bench.engine(address)
    open_connections(engine, 1)

    start(engine, active=1, depth=8)

    until(lambda: engine.status()["lost"] == 1, "the gap caught")
    assert engine.status()["errors"] == {"corrupt": 1}
    assert engine.status()["corrupt_bytes"] >= 1


def test_bytes_that_nobody_sent_are_caught(bench: Bench) -> None:
    address, _ = bench.serve(SurplusServer)
    engine = bench.engine(address)
    open_connections(engine, 1)

    start(engine, active=1)

    until(lambda: engine.status()["lost"] == 1, "the surplus caught")
    assert engine.status()["errors"] == {"corrupt": 1}
    assert engine.status()["corrupt_bytes"] >= 1


def test_bytes_on_an_idle_connection_are_caught(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 2)

    server.peers[1].sendall(b"unasked")

    until(lambda: engine.status()["lost"] == 1, "the bytes caught")
    assert engine.status()["corrupt_bytes"] == len(b"unasked")


def test_an_old_message_in_place_of_a_new_one_is_caught(bench: Bench) -> None:
    address, _ = bench.serve(RepeatingServer)
    engine = bench.engine(address)
    open_connections(engine, 1)

    start(engine, active=1, payload_bytes=8)

    until(lambda: engine.status()["lost"] == 1, "the repetition caught")
    assert engine.status()["echoes"] == 2


@pytest.mark.parametrize("engines", [1, 2])
def test_swapped_replies_are_caught_within_one_engine_and_between_two(
    bench: Bench, engines: int
) -> None:
    address, _ = bench.serve(SwappingServer)
    swapped = [bench.engine(address) for _ in range(engines)]
    for engine in swapped:
        open_connections(engine, 2 // engines)

    for engine in swapped:
        start(engine, active=2 // engines)

    until(lambda: all(e.status()["lost"] >= 1 for e in swapped), "the swap caught")
    assert sum(e.status()["errors"]["corrupt"] for e in swapped) >= engines
