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
from typing import Literal, get_args

from harness.contract.selftest_figures import SelftestFigures
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

# What was observed, and whether it is within the bound; None without figures.
Judged = tuple[str, bool] | None
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
    figures: SelftestFigures
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
            "figures": self.figures.model_dump(exclude_unset=True),
        }


@dataclass(frozen=True, slots=True)
class _Check:
    """A check of the figures of one scene."""

    id: str
    scene: str
    proves: Part
    title: str
    bound: str
    source: str
    judge: Callable[[SelftestFigures], Judged]


def judge(
    figures: Mapping[str, object], failures: Mapping[str, str], duration_s: float
) -> Selftest:
    """Judge every check by the figures of its scene; without figures it fails.

    Args:
        figures: {scene: its figures}, as the load sends them.
        failures: {scene: why it has no figures}.

    Raises:
        ValidationError: the load sent other figures than `SelftestFigures` has.
    """
    seen = SelftestFigures.model_validate(figures)
    return Selftest(tuple(_rows(seen, failures)), seen, duration_s)


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


def _rows(seen: SelftestFigures, failures: Mapping[str, str]) -> Iterator[Row]:
    for check in CHECKS:
        none = (failures.get(check.scene, "not measured"), False)
        observed, held = check.judge(seen) or none
        verdict: Literal["pass", "fail"] = "pass" if held else "fail"
        yield Row(check.id, check.title, observed, check.bound, verdict, check.source, check.proves)


def _little(seen: SelftestFigures) -> Judged:
    if (one := seen.ceiling) is None:
        return None
    held = abs(one.outstanding / one.active - 1) <= LITTLE_SHARE_MAX
    held &= abs(one.rate_times_latency / one.active - 1) <= LITTLE_SHARE_MAX + one.edge_share
    said = (
        f"{one.active:,} messages: {one.outstanding:,.1f} in flight, "
        f"rate × latency {one.rate_times_latency:,.1f}"
    )
    return said, held


def _ceiling(seen: SelftestFigures) -> Judged:
    if (one := seen.ceiling) is None:
        return None
    said = f"{one.echoes_per_s:,.0f} echoes/s, {one.cpu_us_per_echo:.2f} µs of its CPU each"
    return said, one.echoes_per_s >= CEILING_PER_S_MIN


def _clock(seen: SelftestFigures) -> Judged:
    if (one := seen.overhead) is None:
        return None
    return f"{one.clock_read_ns:.0f} ns", one.clock_read_ns <= CLOCK_NS_MAX


def _lag(seen: SelftestFigures) -> Judged:
    one = seen.overhead
    if one is None or one.lag_p50_us is None or one.lag_p99_us is None:
        return None
    said = f"p50 {one.lag_p50_us:,.0f} µs, p99 {one.lag_p99_us:,.0f} µs"
    return said, one.lag_p50_us <= LAG_US_MAX


def _corrupt(seen: SelftestFigures) -> Judged:
    if (one := seen.corrupt) is None:
        return None
    said = f"{one.corrupt_bytes:,} of {one.flipped_bytes:,} in {one.echoed_bytes:,} bytes"
    return said, one.flipped_bytes > 0 and one.corrupt_bytes == one.flipped_bytes == one.lost


def _drop(seen: SelftestFigures) -> Judged:
    if (one := seen.drop) is None:
        return None
    said = f"{one.failed:,} of {one.dropped:,} in {one.cycles:,} connections"
    held = one.dropped > 0 and one.failed == one.dropped and one.errors == {"eof": one.dropped}
    return said, held


def _late(seen: SelftestFigures) -> Judged:
    if (one := seen.late) is None:
        return None
    said = (
        f"{one.late_share:.2%} of {one.count:,} replies came {one.delay_ms:.0f} ms late, "
        f"p98 {one.p98_ms:,.1f} ms"
    )
    others = one.p98_ms < one.delay_ms / 2
    return said, abs(one.late_share / one.delayed_share - 1) <= LATE_SHARE_MAX and others


def _distribution(seen: SelftestFigures) -> Judged:
    one = seen.distribution
    if one is None or one.send_lag_p99_us is None:
        return None
    known, observed = one.known_ms, one.observed_ms
    off = {name: observed[name] / known[name] - 1 for name in known}
    said = ", ".join(f"{name} {observed[name]:.1f} ms ({off[name]:+.2%})" for name in known)
    said += f"; send lag p99 {one.send_lag_p99_us:,.0f} µs"
    return said, all(abs(share) <= DISTRIBUTION_SHARE_MAX for share in off.values())


def _stall(seen: SelftestFigures) -> Judged:
    if (one := seen.stall) is None:
        return None
    # Of the messages due at a fixed rate, 1 % of the window's wait longer than this
    p99_s = one.stall_s - one.window_s / 100
    off = (one.p99_s / p99_s - 1, one.max_s / one.stall_s - 1)
    said = f"p99 {one.p99_s:.3f} s, max {one.max_s:.3f} s"
    return said, all(abs(share) <= STALL_SHARE_MAX for share in off)


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
