"""What a window counts, and what the laws of queues say that it must."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from echo_server import HELLO_BYTES, EchoServer, LeavingServer, StallingServer
from engine_bench import Bench
from engine_driving import closed_window, open_connections, run_cell, start, stop, until

from harness.engine import Engine, Window
from harness.engine.histogram import merge, percentiles

Echo = tuple[Engine, EchoServer]

SECOND_NS = 1_000_000_000
AT_ONCE_NS = -1_000_000  # the window is open before the first message is sent


def recorded(window: Window) -> int:
    return int(merge([window["histogram"]]).get_total_count())


def run_bounded_cell(engine: Engine, *, active: int, payload_bytes: int, depth: int) -> Window:
    """A cell whose every message is sent and answered inside the window."""
    start(
        engine,
        active=active,
        payload_bytes=payload_bytes,
        depth=depth,
        warmup_ns=AT_ONCE_NS,
        window_ns=SECOND_NS,
    )
    until(lambda: engine.status()["cell_echoes"] > 1000, "a thousand echoes")
    stop(engine)
    assert engine.window() is None, "the traffic outlived the window"
    return closed_window(engine)


@pytest.mark.parametrize(("payload_bytes", "depth"), [(64, 1), (64, 16), (5000, 4)])
def test_a_window_counts_exactly_what_the_server_did(
    echo: Echo, payload_bytes: int, depth: int
) -> None:
    engine, server = echo
    open_connections(engine, 10)

    window = run_bounded_cell(engine, active=7, payload_bytes=payload_bytes, depth=depth)

    served = server.bytes_received - 10 * HELLO_BYTES
    assert window["bytes"] == served
    assert window["echoes"] * payload_bytes == served
    assert window["count"] == recorded(window) == window["echoes"]
    assert window["sends"] <= window["echoes"]
    assert (window["established_min"], window["lost"], window["corrupt_bytes"]) == (10, 0, 0)
    assert window["errors"] == {}
    # All messages began and ended in the window, so this holds to the nanosecond.
    assert window["latency_sum_ns"] == window["outstanding_time_ns"]
    # Each message but the first `depth` of a connection follows a reply.
    lags = merge([window["send_lag_histogram"]]).get_total_count()
    assert window["echoes"] - 7 * depth <= lags <= window["echoes"]


def test_live_deltas_add_up_to_the_window_and_start_anew_with_each_cell(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 5)
    start(engine, active=5, payload_bytes=64, depth=1, warmup_ns=AT_ONCE_NS, window_ns=SECOND_NS)
    until(lambda: engine.status()["cell_echoes"] > 300, "some echoes")
    live = Counter(engine.live())
    until(lambda: engine.status()["cell_echoes"] > 1000, "more of them")
    stop(engine)
    live.update(engine.live())

    window = closed_window(engine)

    assert live.total() == window["echoes"]
    told = merge([window["histogram"]])
    assert max(live) == told.get_max_value()
    assert engine.live() == {}
    start(engine, active=1, payload_bytes=64, depth=1, warmup_ns=AT_ONCE_NS, window_ns=SECOND_NS)
    stop(engine)
    assert sum(engine.live().values()) <= engine.status()["cell_echoes"]


def test_the_tenths_of_a_window_add_up_to_it(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 5)

    window = run_cell(engine, active=5)

    lengths_ns = [length_ns for length_ns, _ in window["parts"]]
    assert sum(lengths_ns) == window["end_ns"] - window["start_ns"]
    assert all(length_ns > 0 for length_ns in lengths_ns)
    assert sum(echoes for _, echoes in window["parts"]) == window["echoes"]
    assert 1 <= len(lengths_ns) <= 10


def test_a_server_that_stops_inside_a_window_shows_in_its_tenths(bench: Bench) -> None:
    address, server = bench.serve(StallingServer)
    engine = bench.engine(address)
    open_connections(engine, 5)
    start(engine, active=5, warmup_ns=AT_ONCE_NS, window_ns=2 * SECOND_NS)
    until(lambda: engine.status()["cell_echoes"] > 1000, "a thousand echoes")
    server.moving.clear()

    parts = closed_window(engine)["parts"]

    server.moving.set()
    stop(engine)
    assert len(parts) == 10
    assert parts[0][1] > 0
    assert parts[-1][1] == 0


def test_a_window_leaves_out_what_happened_before_and_after(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 2)

    window = run_cell(engine, active=2)

    assert 0 < window["echoes"] * 64 < server.bytes_received - 2 * HELLO_BYTES
    assert recorded(window) == window["echoes"]
    assert engine.status()["cell_echoes"] > window["echoes"]


def test_the_edges_of_a_window_are_the_clocks_even_without_traffic(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 1)
    opens_ns = time.monotonic_ns() + 50_000_000
    closes_ns = opens_ns + 100_000_000
    engine.start(active=1, payload_bytes=64, window_start_ns=opens_ns, window_end_ns=closes_ns)
    stop(engine)
    loops = engine.status()["echoes"]
    window = closed_window(engine)

    assert opens_ns <= window["start_ns"] < closes_ns <= window["end_ns"]
    assert window["echoes"] == 0
    assert engine.status()["echoes"] == loops
    assert (
        window["latency_sum_ns"] == window["latency_max_ns"] == window["outstanding_time_ns"] == 0
    )
    assert (
        0 <= window["cpu_ns"] + window["blocked_ns"] <= 2 * (window["end_ns"] - window["start_ns"])
    )


def test_the_exact_sums_agree_with_the_histogram(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 20)

    window = run_cell(engine, active=20, depth=2)

    figures = percentiles(merge([window["histogram"]]))
    mean_us = window["latency_sum_ns"] / window["count"] / 1000
    assert figures["mean"] == pytest.approx(mean_us, rel=1e-3, abs=0.5)
    assert figures["max"] == pytest.approx(window["latency_max_ns"] / 1000, rel=1e-3, abs=0.5)


@pytest.mark.parametrize(("active", "depth"), [(1, 1), (16, 1), (8, 8)])
def test_littles_law_holds(bench: Bench, active: int, depth: int) -> None:
    engine = bench.engine(bench.serve_epoll())
    open_connections(engine, active)
    outstanding = active * depth

    # Replies that are out at an edge belong to the window by part of their latency only. A machine
    # that stops for a while just then shifts the product; it does not do so time and again.
    for _ in range(5):
        window = run_cell(engine, active=active, depth=depth, window_ns=SECOND_NS)
        elapsed_ns = window["end_ns"] - window["start_ns"]
        throughput_times_latency = window["latency_sum_ns"] / elapsed_ns
        if throughput_times_latency == pytest.approx(outstanding, rel=0.02):
            break

    assert throughput_times_latency == pytest.approx(outstanding, rel=0.02)
    assert window["outstanding_time_ns"] / elapsed_ns == pytest.approx(outstanding, rel=0.02)


def test_a_connection_lost_in_the_window_shows_in_it(bench: Bench) -> None:
    address, server = bench.serve(LeavingServer)
    server.leaves_after = HELLO_BYTES + 64 * 50
    engine = bench.engine(address)
    open_connections(engine, 5)

    start(engine, active=2, warmup_ns=AT_ONCE_NS)
    window = closed_window(engine)

    assert window["established_min"] == 3
    assert window["lost"] == 2
    assert sum(window["errors"].values()) == 2


def test_errors_of_an_earlier_time_do_not_show_in_a_window(bench: Bench) -> None:
    address, server = bench.serve(LeavingServer)
    server.leaves_after = HELLO_BYTES + 64 * 5
    engine = bench.engine(address)
    open_connections(engine, 3)
    start(engine, active=1, warmup_ns=AT_ONCE_NS)
    until(lambda: engine.status()["lost"] == 1, "one lost")
    stop(engine)
    server.leaves_after = 1 << 40

    window = run_cell(engine, active=2)

    assert (window["lost"], window["errors"], window["established_min"]) == (0, {}, 2)


def test_only_the_active_connections_carry_traffic_and_the_seed_chooses_them(echo: Echo) -> None:
    engine, server = echo
    open_connections(engine, 60)

    chosen = []
    for seed in (1, 1, 2):
        before = list(server.received)
        start(engine, active=20, seed=seed)
        until(lambda: engine.status()["cell_echoes"] > 500, "traffic on all")
        stop(engine)
        grown = zip(before, server.received, strict=True)
        chosen.append({index for index, (old, new) in enumerate(grown) if new > old})

    # Their order of accept is not their order of opening, but it stays the same.
    assert [len(numbers) for numbers in chosen] == [20, 20, 20]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_stop_sends_no_more(bench: Bench) -> None:
    address, server = bench.serve(StallingServer)
    engine = bench.engine(address)
    open_connections(engine, 4)
    server.moving.clear()
    start(engine, active=4, depth=2)
    until(lambda: engine.status()["outstanding"] == 8, "all sent")

    engine.stop()
    sent = engine.status()["bytes_sent"]
    assert engine.status()["running"] is False
    assert engine.status()["outstanding"] == 8
    server.moving.set()

    until(lambda: engine.status()["outstanding"] == 0, "all answered")
    assert engine.status()["bytes_sent"] == sent == server.bytes_received
    assert engine.status()["echoes"] == 4 + 8


def test_stop_completes_a_message_that_it_has_begun(bench: Bench) -> None:
    address, server = bench.serve(StallingServer)
    engine = bench.engine(address)
    open_connections(engine, 1)
    server.moving.clear()
    # Far more than the buffers hold: the send stops in the middle of a message.
    start(engine, active=1, payload_bytes=1 << 20, depth=64)
    until(lambda: engine.status()["bytes_sent"] > 1 << 20, "the buffers filled")

    engine.stop()
    server.moving.set()

    until(lambda: engine.status()["outstanding"] == 0, "all answered")
    status = engine.status()
    assert status["bytes_sent"] == HELLO_BYTES + (status["echoes"] - 1) * (1 << 20)
    assert 1 < status["echoes"] < 1 + 64
    assert status["errors"] == {}


def test_the_same_window_is_returned_until_the_next_start(echo: Echo) -> None:
    engine, _ = echo
    open_connections(engine, 1)
    assert engine.window() is None

    window = run_cell(engine, active=1)
    assert engine.window() is window
    assert engine.status()["window_closed"]

    start(engine, active=1)
    assert engine.window() is None
    assert not engine.status()["window_closed"]
    stop(engine)
