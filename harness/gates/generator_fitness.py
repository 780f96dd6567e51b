"""Judge whether the load generator is fit to measure. Pure: it makes one row per check.

The scenes run where a trial's load runs (harness/load/selftest), against a server in the engine
whose faults are all known. A check compares the observed figures with the true ones.

Rule 1: each check proves one part of a report, and a comment gives the reason. `ranking`: bytes,
replies and messages in flight are counted correctly, and the generator reaches its full load.
`latency`: times are measured correctly. A failed check removes its part from the report
(harness/gates/proof_coverage.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from harness.contract.stored_campaign import Part, StoredBacklog, StoredSelftest
from harness.gates.cell_checks import LITTLE_SHARE_MAX

DISTRIBUTION_SHARE_MAX = 0.01
STALL_SHARE_MAX = 0.03
LATE_SHARE_MAX = 0.10
# The engine reads the clock about three times per echo, which costs it 5 µs or more in all. Up to
# 250 ns a read leave it 85 % of its time. A clock outside the vDSO takes longer.
CLOCK_NS_MAX = 250.0
# A gate rejects a cell of an open loop whose messages leave later than this (harness/gates).
LAG_US_MAX = 100.0
# Far below the rate on any host; a generator that does not reach it is broken.
CEILING_PER_S_MIN = 10_000.0
# The scene of the kernel's listener. No check judges it; an expected shape does.
BACKLOG = "backlog"

Figures = Mapping[str, Any]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True)
class Row:
    """One check: what was observed, its bound, and the source of the bound.

    `proves` is the part of a report that depends on it.
    """

    id: str
    title: str
    observed: str
    bound: str
    verdict: Literal["pass", "fail"]
    source: str
    proves: Part


@dataclass(frozen=True, slots=True)
class Selftest:
    """All checks of one run, and the figures behind them."""

    rows: tuple[Row, ...]
    figures: Mapping[str, Figures]
    duration_s: float

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(row.verdict == "pass" for row in self.rows)

    def as_json(self) -> dict[str, object]:
        """Return it as `campaign.json` stores it; `StoredSelftest` reads it."""
        return {
            "passed": self.passed,
            "duration_s": round(self.duration_s, 3),
            "checks": [asdict(row) for row in self.rows],
            "figures": {name: dict(figures) for name, figures in self.figures.items()},
        }


@dataclass(frozen=True, slots=True)
class _Check:
    """`judge` returns what was observed, and whether it is within the bound."""

    id: str
    scene: str
    proves: Part
    title: str
    bound: str
    source: str
    judge: Callable[[Figures], tuple[str, bool]]


def judge(
    figures: Mapping[str, Figures], failures: Mapping[str, str], duration_s: float
) -> Selftest:
    """Judge every check by the figures of its scene; without figures it fails."""
    return Selftest(tuple(_rows(figures, failures)), figures, duration_s)


def why_not(attempt: StoredSelftest | None, part: Part) -> str:
    """Return why a stored self-test does not prove a part; empty if it does, or if there is none.

    A check without `proves` counts for the ranking (harness/contract/stored_campaign.py).
    """
    if attempt is None or attempt.passed:
        return ""
    failed = [one for one in attempt.checks if one.verdict != "pass"]
    if not failed:
        return "the generator's self-test did not come to its end"
    of_part = [one for one in failed if one.proves == part]
    if not of_part:
        return ""
    first = of_part[0]
    more = f", and {len(of_part) - 1} more" if len(of_part) > 1 else ""
    return (
        f"the generator failed its self-test ({first.title}: {first.observed}, "
        f"bound {first.bound}{more})"
    )


def attempts(selftest: StoredSelftest | None) -> list[StoredSelftest]:
    """Return all self-tests of a campaign, in their order."""
    return [] if selftest is None else [*selftest.earlier, selftest]


def backlog(selftest: StoredSelftest | None) -> StoredBacklog | None:
    """Return the figures of the kernel's listener from the last self-test that has them."""
    looks = [found for one in attempts(selftest) if (found := one.figures.backlog)]
    return looks[-1] if looks else None


def _rows(figures: Mapping[str, Figures], failures: Mapping[str, str]) -> Iterator[Row]:
    for check in CHECKS:
        if check.scene in figures:
            observed, held = check.judge(figures[check.scene])
        else:
            observed, held = failures.get(check.scene, "not measured"), False
        verdict: Literal["pass", "fail"] = "pass" if held else "fail"
        yield Row(check.id, check.title, observed, check.bound, verdict, check.source, check.proves)


def _little(seen: Figures) -> tuple[str, bool]:
    active, outstanding = seen["active"], seen["outstanding"]
    product = seen["rate_times_latency"]
    held = abs(outstanding / active - 1) <= LITTLE_SHARE_MAX
    held &= abs(product / active - 1) <= LITTLE_SHARE_MAX + seen["edge_share"]
    said = f"{active:,} messages: {outstanding:,.1f} in flight, rate × latency {product:,.1f}"
    return said, held


def _ceiling(seen: Figures) -> tuple[str, bool]:
    rate = seen["echoes_per_s"]
    said = f"{rate:,.0f} echoes/s, {seen['cpu_us_per_echo']:.2f} µs of its CPU each"
    return said, rate >= CEILING_PER_S_MIN


def _clock(seen: Figures) -> tuple[str, bool]:
    return f"{seen['clock_read_ns']:.0f} ns", seen["clock_read_ns"] <= CLOCK_NS_MAX


def _lag(seen: Figures) -> tuple[str, bool]:
    p50, p99 = seen["lag_p50_us"], seen["lag_p99_us"]
    return f"p50 {p50:,.0f} µs, p99 {p99:,.0f} µs", p50 <= LAG_US_MAX


def _corrupt(seen: Figures) -> tuple[str, bool]:
    flipped, caught = seen["flipped_bytes"], seen["corrupt_bytes"]
    said = f"{caught:,} of {flipped:,} in {seen['echoed_bytes']:,} bytes"
    return said, flipped > 0 and caught == flipped == seen["lost"]


def _drop(seen: Figures) -> tuple[str, bool]:
    dropped, failed = seen["dropped"], seen["failed"]
    said = f"{failed:,} of {dropped:,} in {seen['cycles']:,} connections"
    return said, dropped > 0 and failed == dropped and seen["errors"] == {"eof": dropped}


def _late(seen: Figures) -> tuple[str, bool]:
    share, known = seen["late_share"], seen["delayed_share"]
    said = (
        f"{share:.2%} of {seen['count']:,} replies came {seen['delay_ms']:.0f} ms late, "
        f"p98 {seen['p98_ms']:,.1f} ms"
    )
    others = seen["p98_ms"] < seen["delay_ms"] / 2
    return said, abs(share / known - 1) <= LATE_SHARE_MAX and others


def _distribution(seen: Figures) -> tuple[str, bool]:
    known, observed = seen["known_ms"], seen["observed_ms"]
    off = {name: observed[name] / known[name] - 1 for name in known}
    said = ", ".join(f"{name} {observed[name]:.1f} ms ({off[name]:+.2%})" for name in known)
    said += f"; send lag p99 {seen['send_lag_p99_us']:,.0f} µs"
    return said, all(abs(one) <= DISTRIBUTION_SHARE_MAX for one in off.values())


def _stall(seen: Figures) -> tuple[str, bool]:
    # Of the messages due at a fixed rate, 1 % of the window's wait longer than this
    p99_s = seen["stall_s"] - seen["window_s"] / 100
    off = (seen["p99_s"] / p99_s - 1, seen["max_s"] / seen["stall_s"] - 1)
    said = f"p99 {seen['p99_s']:.3f} s, max {seen['max_s']:.3f} s"
    return said, all(abs(one) <= STALL_SHARE_MAX for one in off)


CHECKS: Sequence[_Check] = (
    # Messages in flight and the rate are counts, which echoes per CPU second is computed from
    _Check(
        "little",
        "ceiling",
        "ranking",
        "Little's law holds",
        f"both within {LITTLE_SHARE_MAX:.0%}; for the second, plus the window's edges",
        "Little 1961: L = λ·W",
        _little,
    ),
    # The stall's messages are all counted, whatever their times; only the times can be wrong
    _Check(
        "stall",
        "stall",
        "latency",
        "Every message shows that a server stands still for 0.25 s of 2.5 s",
        f"p99 0.225 s and max 0.25 s, each ± {STALL_SHARE_MAX:.0%}",
        "Tene: latency counts from the intended send (coordinated omission)",
        _stall,
    ),
    # Percentiles of known times
    _Check(
        "distribution",
        "distribution",
        "latency",
        "A known distribution of latencies is measured",
        f"± {DISTRIBUTION_SHARE_MAX:.0%}",
        "the null server delays each reply by 20 to 200 ms",
        _distribution,
    ),
    # An echo counts only if its bytes are right
    _Check(
        "corrupt",
        "corrupt",
        "ranking",
        "One wrong byte in a million is caught",
        "each of them, and its connection is closed",
        "counted by the null server that flipped them",
        _corrupt,
    ),
    # A connection that ended must not count as held or served
    _Check(
        "drop",
        "drop",
        "ranking",
        "One dropped connection in a thousand is caught",
        "each of them, as an end of file",
        "counted by the null server that dropped them",
        _drop,
    ),
    # Only their times show which replies are late; no reply is lost
    _Check(
        "late",
        "late",
        "latency",
        "One late reply in a hundred is caught",
        f"1 % ± {LATE_SHARE_MAX:.0%} of it, and the others are not late",
        "the null server delays each hundredth reply",
        _late,
    ),
    # Servers are ranked under the generator's full load, which is far higher
    _Check(
        "ceiling",
        "ceiling",
        "ranking",
        "The generator's ceiling",
        f"≥ {CEILING_PER_S_MIN:,.0f} echoes/s",
        "against the null server, 100 connections",
        _ceiling,
    ),
    # A slow clock delays each time stamp. Its CPU time lowers the generator's ceiling
    _Check(
        "clock",
        "overhead",
        "latency",
        "Reading the clock",
        f"≤ {CLOCK_NS_MAX:.0f} ns",
        "clock_gettime, 200,000 times",
        _clock,
    ),
    # A message that leaves late is timed from when it was due, and is counted in any case
    _Check(
        "wake-up",
        "overhead",
        "latency",
        "A timed wait ends in time",
        f"p50 ≤ {LAG_US_MAX:.0f} µs",
        "500 waits of 0.4 ms; the bound is that of the gate for late messages",
        _lag,
    ),
)
