"""Arguments, order of calls, the end, and several engines at once."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest
from echo_server import EchoServer, StallingServer
from engine_bench import Bench
from engine_driving import TIMEOUT_S, open_connections, run_cell, start, stop, until

from harness.engine import Engine

Echo = tuple[Engine, EchoServer]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:7000",
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:70x",
        "tcp://localhost:7000",
        "tcp://::1:7000",
        "tcp://[::1:7000",
        "tcp://[127.0.0.1]:7000",
        "udp://127.0.0.1:7000",
        "unix://relative",
        "unix:///" + "x" * 108,
    ],
)
def test_a_bad_address_is_refused_and_named(address: str) -> None:
    with pytest.raises(ValueError, match="expected") as refusal:
        Engine(address)

    assert f"'{address}'" in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("tcp://127.0.0.1:7000", "localhost"),
        ("tcp://127.0.0.1:7000", "::1"),
        ("tcp://[::1]:7000", "127.0.0.2"),
        ("unix:///tmp/x", "127.0.0.2"),
    ],
)
def test_a_bad_source_is_refused_and_named(address: str, source: str) -> None:
    with pytest.raises(ValueError, match=f"source '{source}'"):
        Engine(address, sources=[source])


@pytest.mark.parametrize("cpu", [1023, 100_000])
def test_a_cpu_that_is_not_there_is_refused(cpu: int) -> None:
    with pytest.raises(ValueError, match=f"cpu {cpu}"):
        Engine("tcp://127.0.0.1:7000", cpu=cpu)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"active": 0}, "active"),
        ({"active": 6}, "active is 6, but only 5 connections"),
        ({"payload_bytes": 0}, "payload_bytes"),
        ({"payload_bytes": (1 << 20) + 1}, "payload_bytes"),
        ({"depth": 0}, "depth"),
        ({"depth": 4097}, "depth"),
        ({"rate_per_s": -1.0}, "rate_per_s"),
        ({"rate_per_s": float("nan")}, "rate_per_s"),
        ({"rate_per_s": float("inf")}, "rate_per_s"),
        ({"rate_per_s": 10.0, "depth": 2}, "depth"),
        ({"window_start_ns": 2, "window_end_ns": 2}, "window_end_ns"),
    ],
)
def test_a_cell_out_of_range_is_refused(echo: Echo, changed: dict[str, Any], message: str) -> None:
    engine, _ = echo
    open_connections(engine, 5)
    good = {"active": 5, "payload_bytes": 64, "window_start_ns": 1, "window_end_ns": 2}

    with pytest.raises(ValueError, match=message):
        engine.start(**{**good, **changed})

    assert not engine.status()["running"]
    assert engine.status()["bytes_sent"] == 5 * 64


def test_a_second_cell_is_refused_while_one_runs_and_until_its_replies_are_in(
    bench: Bench,
) -> None:
    address, server = bench.serve(StallingServer)
    engine = bench.engine(address)
    open_connections(engine, 2)
    server.moving.clear()
    start(engine, active=2)
    assert engine.status()["running"]

    with pytest.raises(RuntimeError, match="running"):
        start(engine, active=2)
    engine.stop()
    with pytest.raises(RuntimeError, match="outstanding"):
        start(engine, active=2)

    server.moving.set()
    until(lambda: engine.status()["outstanding"] == 0, "all answered")
    assert run_cell(engine, active=2)["echoes"] > 0


def test_shutdown_while_running_closes_every_connection_and_may_be_repeated(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 20)
    start(engine, active=20, depth=8)
    until(lambda: engine.status()["cell_echoes"] > 100, "traffic")

    engine.shutdown()
    engine.shutdown()

    assert all(ended.wait(TIMEOUT_S) for ended in server.ended)
    status = engine.status()
    assert (status["established"], status["closed"], status["lost"]) == (0, 20, 0)
    engine.close(3)
    engine.stop()
    for call in (engine.open, engine.ramp, lambda: start(engine, active=1)):
        with pytest.raises(RuntimeError, match="shut down"):
            call()


def test_an_engine_that_is_dropped_ends_its_thread() -> None:
    # No server needs to be there for that.
    engine = Engine("tcp://127.0.0.1:9")
    until(lambda: "c10k-engine" in thread_names(), "the thread has its name")

    del engine
    gc.collect()

    assert "c10k-engine" not in thread_names()


def thread_names() -> list[str]:
    tasks = Path("/proc/self/task").iterdir()
    return [(task / "comm").read_text().strip() for task in tasks]


def test_two_engines_in_one_process_do_not_disturb_each_other(bench: Bench) -> None:
    address, server = bench.serve(EchoServer)
    one, two = bench.engine(address), bench.engine(address)
    open_connections(one, 3)
    open_connections(two, 5)
    start(one, active=3, payload_bytes=100)
    start(two, active=5, payload_bytes=3000, depth=3)
    for engine in (one, two):
        until(lambda: engine.status()["cell_echoes"] > 200, "traffic")  # noqa: B023
    for engine in (one, two):
        stop(engine)

    received = one.status()["bytes_received"] + two.status()["bytes_received"]
    assert one.status()["errors"] == two.status()["errors"] == {}
    assert received == server.bytes_received


def test_calls_from_many_threads_are_safe(echo: Echo) -> None:
    engine, _ = echo
    numbers: list[int] = []

    def open_and_close() -> None:
        for count in range(30):
            number = engine.open()
            numbers.append(number)
            if count % 3 == 0:
                engine.close(number)
            engine.status()

    threads = [threading.Thread(target=open_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)

    assert sorted(numbers) == list(range(120))
    until(lambda: engine.status()["connecting"] == 0, "all settled")
    status = engine.status()
    assert (status["established"], status["closed"]) == (80, 40)


def test_other_python_threads_run_while_a_call_waits(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 1)
    ended = threading.Event()

    def start_and_stop() -> None:
        for _ in range(200):
            start(engine, active=1)
            stop(engine)
        ended.set()

    thread = threading.Thread(target=start_and_stop)
    thread.start()
    turns = 0
    while not ended.is_set() and turns < 1_000_000_000:
        turns += 1
    thread.join(TIMEOUT_S)

    assert ended.is_set()


def test_every_public_call_says_what_it_does() -> None:
    for name in ("open", "close", "ramp", "start", "stop", "status", "window", "shutdown"):
        assert len(getattr(Engine, name).__doc__ or "") > 40, name
