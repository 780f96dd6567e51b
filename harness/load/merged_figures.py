"""Several engines' figures as one. Pure: counts are summed, histograms merged, nothing averaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.engine import WINDOW_PARTS, histogram

TIMELINE_POINTS_MAX = 200

# Kernel stamps are CLOCK_REALTIME: a self-delay across a step of it means nothing. The two clocks
# are read one after the other, which makes some hundred ns of difference by itself.
CLOCK_STEP_NS_MAX = 50_000

# The members of an engine's window that grow with it, and its histograms.
COUNTS = (
    *("echoes", "bytes", "count", "latency_sum_ns", "cpu_ns", "blocked_ns", "spun_ns"),
    *("sends", "missed_sends", "outstanding_time_ns"),
)
HISTOGRAMS = ("histogram", "send_lag_histogram", "self_delay_histogram", "connect_histogram")


@dataclass(frozen=True, slots=True)
class Status:
    """All engines at one moment. Gauges: established, connecting, outstanding. The rest: totals."""

    requested: int
    established: int
    connecting: int
    lost: int
    closed: int
    failed: int
    cycles: int
    cycles_failed: int
    corrupt_bytes: int
    outstanding: int
    echoes: int
    bytes_sent: int
    bytes_received: int
    errors: dict[str, int]
    ramps: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Ramp:
    """The opening of the connections. Times are CLOCK_MONOTONIC ns, 0 when nothing happened."""

    first_connect_ns: int
    last_established_ns: int
    connect: Any
    hello: Any
    timeline: list[list[float]]


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window. The histograms are decoded ones; `self_delay` is None where not measured,
    `connect` where no connections churned.

    Mean and maximum of the latency are exact, a histogram's are those of its buckets. `parts_per_s`
    are the rates in its tenths, in order; None where an engine stood still across the edge of one.
    `window_ns` leaves out what was between its turns, where it had several.
    `useful_busy` leaves out the passes in which a spinning engine found nothing to do. `overslept`
    counts the engines that did not run between the window's edges: theirs has no length, no rate.
    """

    window_ns: float
    echoes: int
    echoes_per_s: float
    parts_per_s: list[float] | None
    bytes: int
    established_min: int
    latency: Any
    latency_mean_us: float | None
    latency_max_us: float | None
    send_lag: Any
    self_delay: Any
    cpu_ns: int
    cpu_busy: float
    useful_ns: float
    useful_busy: float
    blocked_ns: int
    spun_ns: int
    sends: int
    missed_sends: int
    outstanding: float
    connect: Any
    overslept: int


def shares(active: int, held: Mapping[str, int]) -> dict[str, int]:
    """Split `active` over engines by what each holds; the remainder goes to the largest fractions.

    Raises ValueError when they hold fewer than `active` together.
    """
    total = sum(held.values())
    if active > total:
        raise ValueError(f"{active:,} active connections of {total:,} established")
    split = {name: active * count // max(total, 1) for name, count in held.items()}
    rests = {name: active * count % max(total, 1) for name, count in held.items()}
    by_rest = sorted(rests, key=lambda name: rests[name], reverse=True)
    for name in by_rest[: active - sum(split.values())]:
        split[name] += 1
    assert sum(split.values()) == active  # noqa: S101 (a lost remainder is another experiment)
    return split


def merge_status(statuses: Iterable[Mapping[str, Any]]) -> Status:
    """Add up the engines' snapshots."""
    known = [status for status in statuses if status]

    def total(name: str) -> int:
        return sum(int(status[name]) for status in known)

    return Status(
        requested=total("requested"),
        established=total("established"),
        connecting=total("connecting"),
        lost=total("lost"),
        closed=total("closed"),
        failed=total("failed"),
        cycles=total("cycles"),
        cycles_failed=total("cycles_failed"),
        corrupt_bytes=total("corrupt_bytes"),
        outstanding=total("outstanding"),
        echoes=total("echoes"),
        bytes_sent=total("bytes_sent"),
        bytes_received=total("bytes_received"),
        errors=_sum_counts(status["errors"] for status in known),
        ramps=tuple(status["ramp"] for status in known),
    )


def merge_ramp(ramps: Sequence[Mapping[str, Any]]) -> Ramp:
    """One ramp of all engines' ramps: from the first connect anywhere to the last hello."""
    began = [ramp for ramp in ramps if ramp["first_connect_ns"]]
    first_ns = min((ramp["first_connect_ns"] for ramp in began), default=0)
    return Ramp(
        first_connect_ns=first_ns,
        last_established_ns=max((ramp["last_established_ns"] or 0 for ramp in began), default=0),
        connect=histogram.merge([ramp["connect_histogram"] for ramp in began]),
        hello=histogram.merge([ramp["hello_histogram"] for ramp in began]),
        timeline=_merge_timelines(
            [((r["first_connect_ns"] - first_ns) / 1e6, r["timeline"]) for r in began]
        ),
    )


def _merge_timelines(
    timelines: Sequence[tuple[float, Sequence[Sequence[float]]]],
) -> list[list[float]]:
    """Add step functions, each given with its offset in ms: [[ms, established], …]."""
    steps = sorted(
        (offset_ms + ms, engine, established)
        for engine, (offset_ms, timeline) in enumerate(timelines)
        for ms, established in timeline
    )
    now = [0.0] * len(timelines)
    merged: list[list[float]] = []
    for ms, engine, established in steps:
        now[engine] = established
        merged.append([round(ms, 3), int(sum(now))])
    stride = -(-len(merged) // TIMELINE_POINTS_MAX) or 1
    # Counted from the end, so that the last point, the whole ramp, is always kept
    return merged[::-1][::stride][::-1]


def per(amount: float, length_ns: float) -> float:
    """`amount` per nanosecond of a window; 0 where the window has no length."""
    return amount / length_ns if length_ns else 0.0


def merge_windows(windows: Sequence[Mapping[str, Any]]) -> Window:
    """One window of the engines' windows. Raises ValueError when no engine took part."""
    return merge_turns([windows])


def merge_turns(turns: Sequence[Sequence[Mapping[str, Any]]]) -> Window:
    """One window of the windows of the same engines in one turn after the other.

    It is as long as all turns together: what was between them is not in it. Raises ValueError when
    no engine took part, or not the same engines in each turn.
    """
    windows = [_joined(engine) for engine in zip(*turns, strict=True)]
    if not windows:
        raise ValueError("no engine took part in the window")
    lengths_ns = [window["length_ns"] for window in windows]

    def total(name: str) -> int:
        return sum(int(window[name]) for window in windows)

    def rate(name: str) -> float:
        """Per-engine rates added up: each engine's window has its own exact length."""
        return float(
            sum(per(w[name], length_ns) for w, length_ns in zip(windows, lengths_ns, strict=True))
        )

    # Passes are measured by the clock. What others took of the CPU, which is in them and not in the
    # CPU time, is taken to fall on all passes alike.
    useful_ns = [
        w["cpu_ns"] * max(0.0, 1 - per(w["spun_ns"], n))
        for w, n in zip(windows, lengths_ns, strict=True)
    ]
    histograms = {name: [h for w in windows for h in w[name]] for name in HISTOGRAMS}
    delays, connects = histograms["self_delay_histogram"], histograms["connect_histogram"]
    if any(w["clock_step_ns"] > CLOCK_STEP_NS_MAX for w in windows):
        delays = []
    return Window(
        window_ns=sum(lengths_ns) / len(lengths_ns),
        echoes=total("echoes"),
        echoes_per_s=rate("echoes") * 1e9,
        parts_per_s=_merge_parts([window["parts"] for window in windows]),
        bytes=total("bytes"),
        established_min=total("established_min"),
        latency=histogram.merge(histograms["histogram"]),
        latency_mean_us=total("latency_sum_ns") / 1e3 / count
        if (count := total("count"))
        else None,
        latency_max_us=max(window["latency_max_ns"] for window in windows) / 1e3,
        send_lag=histogram.merge(histograms["send_lag_histogram"]),
        self_delay=histogram.merge(delays) if delays else None,
        cpu_ns=total("cpu_ns"),
        # The busiest engine: with one of several at its limit, the generator is at its limit
        cpu_busy=max(per(w["cpu_ns"], n) for w, n in zip(windows, lengths_ns, strict=True)),
        useful_ns=sum(useful_ns),
        useful_busy=max(per(ns, n) for ns, n in zip(useful_ns, lengths_ns, strict=True)),
        blocked_ns=total("blocked_ns"),
        spun_ns=total("spun_ns"),
        sends=total("sends"),
        missed_sends=total("missed_sends"),
        outstanding=rate("outstanding_time_ns"),
        connect=histogram.merge(connects) if connects else None,
        overslept=sum(window["overslept"] for window in windows),
    )


def _joined(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One engine's windows in its turns as one: what is counted is summed, histograms are listed.

    Its parts are tenths again: of ten turns a turn each, of twenty two, of two a fifth of one. (The
    tenths within a short turn are so short that a stall across the edge of one is nothing to tell.)
    """
    lengths_ns = [turn["end_ns"] - turn["start_ns"] for turn in turns]
    if len(turns) < WINDOW_PARTS:
        parts = [part for turn in turns for part in turn["parts"]]
        known = all(len(turn["parts"]) == WINDOW_PARTS for turn in turns)
    else:
        parts = [
            [length_ns, turn["echoes"]] for length_ns, turn in zip(lengths_ns, turns, strict=True)
        ]
        known = 0 not in lengths_ns
    if not known or len(parts) % WINDOW_PARTS:
        parts = []
    size = max(1, len(parts) // WINDOW_PARTS)
    return {
        "length_ns": sum(lengths_ns),
        "overslept": 0 in lengths_ns,
        "parts": [
            [sum(figures) for figures in zip(*parts[first : first + size], strict=True)]
            for first in range(0, len(parts), size)
        ],
        "established_min": min(turn["established_min"] for turn in turns),
        "latency_max_ns": max(turn["latency_max_ns"] for turn in turns),
        "clock_step_ns": max(abs(turn["clock_step_ns"]) for turn in turns),
        **{name: sum(turn[name] for turn in turns) for name in COUNTS},
        **{name: [turn[name] for turn in turns if turn[name] is not None] for name in HISTOGRAMS},
    }


def _merge_parts(engines: Sequence[Sequence[Sequence[int]]]) -> list[float] | None:
    """The rates of all engines in each part of the window, of engines' [length_ns, echoes]."""
    if any(len(parts) != WINDOW_PARTS for parts in engines):
        return None
    return [
        sum(echoes * 1e9 / length_ns for length_ns, echoes in part)
        for part in zip(*engines, strict=True)
    ]


def differences(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """What each counter grew by; counters that did not are left out."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count != 0}


def _sum_counts(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    return dict(total)
