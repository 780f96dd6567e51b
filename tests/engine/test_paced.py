"""Open loop: messages at their intended times, latency from those, and the self-delay."""

from __future__ import annotations

import time

import pytest
from echo_server import HELLO_BYTES, EchoServer, StallingServer
from engine_bench import Bench
from engine_driving import closed_window, open_connections, start, stop, until
from hdrh.histogram import HdrHistogram

from harness.engine import Engine
from harness.engine.histogram import merge, percentiles, recorded

Echo = tuple[Engine, EchoServer]

AT_ONCE_NS = -1_000_000
SECOND_NS = 1_000_000_000


def test_a_window_sends_what_its_rate_says_and_nothing_else(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 7)
    called_ns = time.monotonic_ns()

    start(engine, active=7, rate_per_s=2000.0, warmup_ns=AT_ONCE_NS, window_ns=SECOND_NS)
    window = closed_window(engine)
    stop(engine)

    # The schedule began after the call and no later than the window.
    sent = merge([window["send_lag_histogram"]]).get_total_count()
    due = sent + window["missed_sends"]
    assert due >= 2000 * (window["end_ns"] - window["start_ns"]) / 1e9 - 1
    assert due <= 2000 * (window["end_ns"] - called_ns) / 1e9 + 1
    assert window["echoes"] <= sent
    assert engine.status()["bytes_received"] == server.bytes_received
    assert engine.status()["errors"] == {}


def test_all_active_connections_take_equal_turns(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 10)

    start(engine, active=9, rate_per_s=3000.0)
    until(lambda: engine.status()["cell_echoes"] > 300, "traffic")
    stop(engine)

    messages = sorted((count - HELLO_BYTES) // 64 for count in server.received)
    assert messages[0] == 0
    assert messages[-1] - messages[1] <= 1


def longer_than(histogram: HdrHistogram, latency_s: float) -> int:
    """How many of the recorded latencies are longer than this."""
    return sum(count for latency_us, count in recorded(histogram) if latency_us > latency_s * 1e6)


def test_a_stalled_server_shows_in_every_message_that_was_due_meanwhile(bench: Bench) -> None:
    address, server = bench.serve(StallingServer)
    engine = bench.engine(address)
    open_connections(engine, 4)
    stall_s = 0.5

    start(engine, active=4, rate_per_s=1000.0, warmup_ns=AT_ONCE_NS, window_ns=2 * SECOND_NS)
    until(lambda: engine.status()["cell_echoes"] > 100, "traffic")
    server.moving.clear()
    time.sleep(stall_s)
    server.moving.set()
    window = closed_window(engine)
    stop(engine)

    histogram = merge([window["histogram"]])
    # 500 messages were due while nothing moved; the latency of one due after t was stall - t.
    assert longer_than(histogram, 0.1 * stall_s) >= 0.85 * 1000 * stall_s
    assert longer_than(histogram, 0.5 * stall_s) >= 0.45 * 1000 * stall_s
    assert window["latency_max_ns"] >= 0.95 * stall_s * 1e9
    # The server's stall kept no send back; those due just before the end may be late by themselves.
    assert window["missed_sends"] < 0.5 * 1000 * stall_s


def test_sends_that_a_full_socket_kept_back_are_counted_as_missed(bench: Bench) -> None:
    address, server = bench.serve(StallingServer)
    engine = bench.engine(address)
    open_connections(engine, 1)
    server.moving.clear()

    # 200 MiB within the window, where the buffers of both ends hold a few.
    start(
        engine,
        active=1,
        payload_bytes=1 << 20,
        rate_per_s=200.0,
        warmup_ns=AT_ONCE_NS,
        window_ns=SECOND_NS,
    )
    window = closed_window(engine)
    sent = engine.status()["bytes_sent"]
    server.moving.set()
    engine.stop()
    until(lambda: engine.status()["outstanding"] == 0, "what was begun came back")

    assert window["echoes"] == 0
    whole = (sent - HELLO_BYTES) // (1 << 20)
    elapsed_s = (window["end_ns"] - window["start_ns"]) / 1e9
    assert window["missed_sends"] + whole == pytest.approx(200 * elapsed_s, abs=10)
    assert window["missed_sends"] > 100
    assert engine.status()["errors"] == {}


def test_the_turns_of_a_lost_connection_are_missed_sends(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 2)
    start(engine, active=2, rate_per_s=1000.0, warmup_ns=AT_ONCE_NS, window_ns=SECOND_NS)

    server.peers[0].shutdown(2)
    until(lambda: engine.status()["lost"] == 1, "one lost")
    window = closed_window(engine)
    stop(engine)

    elapsed_s = (window["end_ns"] - window["start_ns"]) / 1e9
    sent = merge([window["send_lag_histogram"]]).get_total_count()
    assert window["missed_sends"] > 0
    assert sent + window["missed_sends"] == pytest.approx(1000 * elapsed_s, abs=50)
    assert engine.status()["established"] == 1


def test_spinning_is_the_same_traffic(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 3)
    opens_ns = time.monotonic_ns()

    engine.start(
        active=3,
        payload_bytes=64,
        rate_per_s=500.0,
        spin=True,
        window_start_ns=opens_ns,
        window_end_ns=opens_ns + SECOND_NS // 2,
    )
    window = closed_window(engine)
    stop(engine)

    # It never sleeps: far more turns of its loop than messages, nearly all of them for nothing.
    assert window["loops"] > 10 * window["echoes"] > 0
    length_ns = window["end_ns"] - window["start_ns"]
    assert length_ns // 2 < window["spun_ns"] < length_ns
    assert engine.status()["bytes_received"] == server.bytes_received


def test_an_engine_that_sleeps_has_no_turns_for_nothing(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 3)

    start(engine, active=3, rate_per_s=500.0)
    window = closed_window(engine)
    stop(engine)

    assert window["echoes"] > 0
    assert window["spun_ns"] == 0


def test_without_stamps_there_is_no_self_delay(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 1)

    start(engine, active=1)

    assert closed_window(engine)["self_delay_histogram"] is None


def test_the_self_delay_is_the_part_of_the_latency_after_the_kernel_had_the_reply(
    bench: Bench,
) -> None:
    engine = bench.engine(bench.serve_epoll())
    open_connections(engine, 50)

    start(engine, active=50, stamps=True)
    window = closed_window(engine)
    stop(engine)

    assert window["self_delay_histogram"] is not None
    self_delay = percentiles(merge([window["self_delay_histogram"]]))
    latency = percentiles(merge([window["histogram"]]))
    # At most one stamp per read, and a reply of 64 bytes is one read. The kernel begins to stamp a
    # while after it was asked to (net_enable_timestamp leaves that to a work queue).
    assert 0 < self_delay["count"] <= window["echoes"] + 50
    assert self_delay["mean"] is not None
    assert latency["mean"] is not None
    assert 1 <= self_delay["mean"] < latency["mean"]
    assert abs(window["clock_step_ns"]) < SECOND_NS
    assert engine.status()["errors"] == {}


def test_stamps_of_one_cell_do_not_stay_for_the_next(bench: Bench) -> None:
    engine = bench.engine(bench.serve_epoll())
    open_connections(engine, 5)

    for stamps in (True, False, True):
        start(engine, active=5, stamps=stamps)
        window = closed_window(engine)
        stop(engine)
        assert (window["self_delay_histogram"] is not None) is stamps

    assert engine.status()["errors"] == {}
