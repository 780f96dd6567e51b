"""The scenes: an engine, a null server with one known fault, and what the engine makes of it.

Rule 1: figures and the truth about them go out side by side; whether they agree is judged by the
harness (harness/gates/generator_fitness.py).
Rule 2: a scene lasts as long as its figure needs, because all of them come before every campaign.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.contract.cell_record import Written
from harness.contract.selftest_figures import (
    BacklogFigures,
    CorruptFigures,
    DistributionFigures,
    DropFigures,
    LateFigures,
    LimitFigures,
    OverheadFigures,
    StallFigures,
)
from harness.engine import Engine, NullServer, Window, histogram, measure_overhead
from harness.load.merged_figures import merge_windows, per
from harness.load.selftest.backlog import admit

TIMEOUT_S = 10.0
# A thousand connections of one host take a twentieth of a second
CONNECT_TIMEOUT_S = 3.0
POLL_S = 0.002
WARMUP_S = 0.2
PAYLOAD_BYTES = 64
SOURCES = tuple(f"127.0.0.{2 + number}" for number in range(64))

# Long enough for 5,000 messages, of which the slowest fifty make the p99
STALL_WINDOW_S = 2.5
STALL_S = 0.25
STALL_AFTER_S = 1.0  # of the window
STALL_SETUP_S = 0.5

# From 20 to 200 ms: far above what the loopback adds, and each value as likely as its neighbours
# on a scale of ratios, so that percentiles lie dense enough to be compared to 1 %.
DELAYS = 1000
DELAY_LEAST_MS = 20.0
DELAY_RATIO = 10.0
GOLDEN = (5**0.5 - 1) / 2

LATE_MS = 50.0
LATE_EVERY = 100
DROP_EVERY = 1000
CORRUPT_EVERY_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Cpus:
    """Where the two threads run, as server and load do in a trial."""

    server: int
    load: int
    asked_to_spin: bool

    @property
    def spin(self) -> bool:
        """Whether the generator polls, as it does in a trial."""
        return self.asked_to_spin and self.server != self.load


def overhead(cpus: Cpus) -> OverheadFigures:
    """What a look at the clock costs, and how late a timed wait ends."""
    clock_read_ns, payload = measure_overhead(cpus.load)
    lag = histogram.percentiles(histogram.merge([payload]))
    return OverheadFigures(
        clock_read_ns=clock_read_ns, lag_p50_us=lag["p50"], lag_p99_us=lag["p99"]
    )


def ceiling(cpus: Cpus) -> LimitFigures:
    """A closed loop at its limit: what the generator can do at most, and Little's law."""
    active = 100
    with _pair(cpus, connections=active) as (engine, _):
        window = _window(engine, cpus, 1.0, active=active)
    length_ns = window["end_ns"] - window["start_ns"]
    return LimitFigures(
        active=active,
        echoes_per_s=per(window["echoes"], length_ns) * 1e9,
        cpu_us_per_echo=merge_windows([window]).useful_ns / max(1, window["echoes"]) / 1e3,
        outstanding=per(window["outstanding_time_ns"], length_ns),
        # X·R: echoes per second times the mean of their latencies
        rate_times_latency=per(window["latency_sum_ns"], length_ns),
        # An echo counts where it ends: the window's two edges cut up to one per connection
        edge_share=per(window["latency_sum_ns"] / max(1, window["count"]), length_ns),
    )


def corrupt(cpus: Cpus) -> CorruptFigures:
    """One byte in a million comes back wrong."""
    with _pair(cpus, connections=200, corrupt_every_bytes=CORRUPT_EVERY_BYTES) as (engine, server):
        _window(engine, cpus, 0.5, active=200, payload_bytes=1024)
        status = engine.status()
        return CorruptFigures(
            flipped_bytes=server.counts()["corrupted"],
            corrupt_bytes=status["corrupt_bytes"],
            lost=status["lost"],
            echoed_bytes=status["bytes_received"],
        )


def drop(cpus: Cpus) -> DropFigures:
    """One connection in a thousand is closed instead of its echo, under churn."""
    with _pair(cpus, connections=50, drop_every_connections=DROP_EVERY) as (engine, server):
        _window(engine, cpus, 0.6, active=50, closing="fin")
        status = engine.status()
        return DropFigures(
            dropped=server.counts()["dropped"],
            failed=status["cycles_failed"],
            cycles=status["cycles"],
            errors=status["errors"],
        )


def late(cpus: Cpus) -> LateFigures:
    """One reply in a hundred is held back."""
    faults = {"delay_every_replies": LATE_EVERY, "delay_ns": int(LATE_MS * 1e6)}
    # Each connection's next message is due long after the delay: nothing else waits behind it
    with _pair(cpus, connections=1000, **faults) as (engine, _):
        window = _window(engine, cpus, 1.0, active=1000, rate_per_s=5000.0)
    found = histogram.merge([window["histogram"]])
    late_count = sum(
        count for latency_us, count in histogram.recorded(found) if latency_us >= LATE_MS * 1000
    )
    return LateFigures(
        delay_ms=LATE_MS,
        delayed_share=1 / LATE_EVERY,
        late_share=late_count / max(1, window["count"]),
        p98_ms=found.get_value_at_percentile(98.0) / 1000,
        count=window["count"],
    )


def distribution(cpus: Cpus) -> DistributionFigures:
    """Each reply is held back for a value out of a known distribution."""
    # In the order of multiples of the golden ratio any stretch of them, however a window cuts it,
    # is spread over the whole distribution
    places = [(number * GOLDEN) % 1.0 for number in range(DELAYS)]
    delays_ms = [DELAY_LEAST_MS * DELAY_RATIO**place for place in places]
    known_ms = sorted(delays_ms)
    delays_ns = [int(value * 1e6) for value in delays_ms]
    with _pair(cpus, connections=1000, delays_ns=delays_ns) as (engine, _):
        # The warm-up is longer than the longest delay, else its short ones alone would have ended
        warmup_s = 2 * DELAY_LEAST_MS * DELAY_RATIO / 1000
        window = _window(engine, cpus, 1.0, active=1000, rate_per_s=4000.0, warmup_s=warmup_s)
    found = histogram.merge([window["histogram"]])
    quantiles = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
    observed = {
        name: found.get_value_at_percentile(percent) / 1000 for name, percent in quantiles.items()
    }
    known = {name: known_ms[int(DELAYS * p / 100) - 1] for name, p in quantiles.items()}
    observed["mean"] = window["latency_sum_ns"] / max(1, window["count"]) / 1e6
    known["mean"] = sum(known_ms) / DELAYS
    lag = histogram.percentiles(histogram.merge([window["send_lag_histogram"]]))
    return DistributionFigures(
        known_ms=known,
        observed_ms=observed,
        count=window["count"],
        # Of a host whose CPUs others use, too, this is what tells
        send_lag_p99_us=lag["p99"],
    )


def stall(cpus: Cpus) -> StallFigures:
    """The server stands still for a quarter of a second in the middle of a paced window."""
    start_ns = time.monotonic_ns() + int(STALL_SETUP_S * 1e9)
    faults = {
        "stop_at_ns": start_ns + int(STALL_AFTER_S * 1e9),
        "stop_for_ns": int(STALL_S * 1e9),
    }
    with _pair(cpus, connections=100, **faults) as (engine, _):
        window = _window(
            engine, cpus, STALL_WINDOW_S, active=100, rate_per_s=2000.0, start_ns=start_ns
        )
    found = histogram.percentiles(histogram.merge([window["histogram"]]))
    return StallFigures(
        window_s=STALL_WINDOW_S,
        stall_s=STALL_S,
        p50_ms=(found["p50"] or 0) / 1000,
        p99_s=(found["p99"] or 0) / 1e6,
        max_s=window["latency_max_ns"] / 1e9,
        count=window["count"],
    )


def backlog(_: Cpus) -> BacklogFigures:
    """What the kernel's listener does, which an expected shape is held against."""
    return admit()


SCENES: dict[str, Callable[[Cpus], Written]] = {
    "overhead": overhead,
    "ceiling": ceiling,
    "corrupt": corrupt,
    "drop": drop,
    "late": late,
    "distribution": distribution,
    "stall": stall,
    "backlog": backlog,
}


@contextmanager
def _pair(cpus: Cpus, *, connections: int, **faults: Any) -> Iterator[tuple[Engine, NullServer]]:
    """A null server, and an engine with its connections established."""
    server = NullServer(cpu=cpus.server, **faults)
    engine = Engine(server.address, cycle_sources=SOURCES, seed=1, cpu=cpus.load)
    try:
        for _ in range(connections):
            engine.open()
        _until(
            lambda: engine.status()["connecting"] == 0,
            "the connections are established",
            CONNECT_TIMEOUT_S,
        )
        established = engine.status()["established"]
        if established < connections:
            raise RuntimeError(f"{established} of {connections} connections were established")
        yield engine, server
    finally:
        engine.shutdown()
        server.shutdown()


def _window(
    engine: Engine,
    cpus: Cpus,
    window_s: float,
    *,
    active: int,
    payload_bytes: int = PAYLOAD_BYTES,
    warmup_s: float = WARMUP_S,
    start_ns: int | None = None,
    **traffic: Any,
) -> Window:
    """One window of traffic, and the wait for the replies that are still out."""
    if start_ns is None:
        start_ns = time.monotonic_ns() + int(warmup_s * 1e9)
    elif start_ns < time.monotonic_ns():
        raise RuntimeError("opening the connections took longer than was planned for it")
    end_ns = start_ns + int(window_s * 1e9)
    engine.start(
        active=active,
        payload_bytes=payload_bytes,
        spin=cpus.spin,
        window_start_ns=start_ns,
        window_end_ns=end_ns,
        **traffic,
    )
    time.sleep(max(0.0, (end_ns - time.monotonic_ns()) / 1e9))
    _until(lambda: engine.window() is not None, "the window is closed")
    engine.stop()
    _until(lambda: engine.status()["outstanding"] == 0, "all replies are in")
    window = engine.window()
    assert window is not None  # noqa: S101 (waited for above)
    return window


def _until(condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"it never happened within {timeout_s:g} s that {what}")
        time.sleep(POLL_S)
