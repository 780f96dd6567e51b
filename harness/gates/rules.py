"""What each gate compares: a record and its variant's facts → the sentence that is wrong, or None.

In the order in which the report prints them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from harness.contract.codes import FailureCode
from harness.contract.record import (
    Record,
    VariantFacts,
    churns,
    failure_code,
    has_traffic,
    held_connections,
    is_closed_loop,
    is_open_loop,
    is_ramp,
    load_busy,
    number,
)
from harness.gates import student_t
from harness.gates.cpu import ticks

# Of the messages under way, active × depth, that rate × mean latency may miss in a closed loop.
LITTLE_SHARE_MAX = 0.02
# What the edges of a turn may cut of it: beyond that the allowance would hide what the gate is for.
TURN_EDGES_MAX = 0.05
# An open loop's latency is the server's only while the generator has CPU time to spare and sends on
# time: the p99 of its delay is to be 100 µs at most, or a tenth of the latency's p99.
GENERATOR_BUSY_MAX = 0.80
SEND_LAG_US_MIN = 100.0
SEND_LAG_SHARE_MAX = 0.10
# One send is cut off by the edge of nearly every window and proves nothing. Up to one in a thousand
# moves no percentile that is printed (p99.9 needs 10,000 values); from one in a hundred on, what
# was offered is another rate than the one on the label, and the p99 itself is made of what lacks.
MISSED_SENDS_MIN = 1
MISSED_SENDS_SHARE_MAX = 0.001
MISSED_SENDS_SHARE_VOID = 0.01
# The same of replies that come after the window: no percentile has them, and they are the slowest.
LATE_REPLIES_MIN = 1
LATE_REPLIES_SHARE_MAX = MISSED_SENDS_SHARE_MAX
LATE_REPLIES_SHARE_VOID = MISSED_SENDS_SHARE_VOID
# Above this share the hypervisor ran somebody else (`steal` in proc_stat(5)).
STEAL_SHARE_MAX = 0.02
# A slope in the rates of the window's tenths. A tenth is rarely good to more than
# 2 % on a shared host, so chance alone makes a line of 5 %: both the change and its probability
# (two-sided t test of the slope) have to speak against a steady rate.
DRIFT_SHARE_MAX = 0.10
DRIFT_P_MAX = 0.005
DRIFT_PARTS_MIN = 3  # a line through two points is perfect and says nothing
# Neighbours that a hypervisor does not admit to (no steal) share caches, memory and cores with this
# host, and show as a rate that jumps. The bound is a rule of thumb: the smallest difference that
# the report calls one (EFFECT_MIN of analysis/intervals.py) as half of the 95 % interval of the
# mean rate, by Student's t for ten tenths; where neighbouring ones are alike the true one is wider.
# Windows of a second or less have tenths that single events of the host decide.
UNEVEN_HALF_WIDTH_MAX = 0.05
UNEVEN_PARTS = 10
UNEVEN_T = 2.262
UNEVEN_WINDOW_S_MIN = 1.95  # 2 s as measured, which is some microseconds more or less
# A step is CLOCK_REALTIME moving against CLOCK_MONOTONIC (NTP's slewing moves both alike). ntpd
# steps by 128 ms or more, a resumed VM by seconds; two clock reads are some hundred ns apart.
CLOCK_STEP_MS_MAX = 1.0
# A variant that declares a ceiling has to come near it: what stops far below is a fault.
CEILING_HELD_SHARE_MIN = 0.90

NOISE_COUNTERS = ("RetransSegs", "ListenOverflows", "softnet_dropped")

Check = Callable[[Record, VariantFacts], str | None]


def capped(record: Record, facts: VariantFacts) -> str | None:
    requested = number(record, "connections_requested")
    ceiling = facts.connections_max
    if ceiling is None or requested is None or requested <= ceiling:
        return None
    if failure_code(record) not in (None, FailureCode.CAPPED):
        return None  # it broke on the way up: that is no ceiling
    held = held_connections(record)
    if held is None or not CEILING_HELD_SHARE_MIN * ceiling <= held < requested:
        return None
    because = f" ({facts.reason})" if facts.reason else ""
    return f"holds {held:,.0f} of {requested:,.0f}{because}"


def failure(record: Record, facts: VariantFacts) -> str | None:
    found = record.get("failure")
    if not isinstance(found, Mapping):
        return None
    text = str(found.get("text") or found.get("code") or "failed without a word")
    is_far = failure_code(record) == FailureCode.CAPPED
    return f"{text} (far from a declared ceiling)" if is_far else text


def evidence(record: Record, facts: VariantFacts) -> str | None:
    counts = ("connections_requested", "connections_established_min", "corrupt_bytes", "lost")
    needed: list[tuple[str, ...]] = [(name,) for name in counts]
    if has_traffic(record):
        needed += [("window_s",), ("echoes",), ("echoes_per_s",), ("latency_us", "mean")]
    if has_traffic(record) and not facts.unseen:
        needed += [("server", "cpu_ns"), ("server", "cpu_busy")]
    if is_open_loop(record):
        needed += [("generator", "cpu_busy")]
        needed += [("generator", "send_lag_us", name) for name in ("count", "p99")]
    return _missing(record, needed)


def established(record: Record, facts: VariantFacts) -> str | None:
    requested = number(record, "connections_requested")
    established = number(record, "connections_established_min")
    if requested is None or established is None:
        return None
    if churns(record):  # those that come and go are proved by their cycles
        requested -= number(record, "active") or 0
    if established == requested:
        return None
    return f"{established:,.0f} of {requested:,.0f} connections established at the lowest"


def lost(record: Record, facts: VariantFacts) -> str | None:
    lost = number(record, "lost") or 0
    return f"{lost:,.0f} connections lost{_named_errors(record)}" if lost else None


def _named_errors(record: Record) -> str:
    errors = record.get("errors") or {}
    named = ", ".join(f"{name}: {count:,}" for name, count in sorted(errors.items()))
    return f" ({named})" if named else ""


def silent(record: Record, facts: VariantFacts) -> str | None:
    return "no echo came back" if number(record, "echoes") == 0 else None


def little(record: Record, facts: VariantFacts) -> str | None:
    """Little's law, L = X·R, with L = A·depth known: did every connection stay busy and timed?

    An echo is timed as a whole but counted by where it ends, so the two edges of the window, or of
    each turn of it, cut up to one echo per connection: X·R is known to R / window at best, and that
    much is allowed on top. The engine's own integral of what is outstanding has no edges: 2 % it
    is.
    """
    active, depth = number(record, "active"), number(record, "depth")
    rate, mean_us = number(record, "echoes_per_s"), number(record, "latency_us", "mean")
    window_s = number(record, "window_s")
    if not active or not depth or not window_s or rate is None or mean_us is None:
        return None
    load = active * depth
    # Between two cycles of churn there is a close and a socket: only what was under way is known.
    outstanding = number(record, "generator", "little_outstanding")
    if churns(record):
        load = load if outstanding is None else min(load, outstanding)
    turns = number(record, "turns") or 1
    edges = mean_us / 1e6 / window_s * turns
    if turns > 1 and edges > TURN_EDGES_MAX:
        return f"the edges of its {turns:.0f} turns cut {edges:.0%} of its echoes"
    found = rate * mean_us / 1e6
    if abs(load - found) > (LITTLE_SHARE_MAX + edges) * load:
        return f"rate × mean latency is {found:,.1f}, but {load:,.0f} messages were to be under way"
    if outstanding is not None and abs(load - outstanding) > LITTLE_SHARE_MAX * load:
        return f"{outstanding:,.1f} messages were under way on average, {load:,.0f} were to be"
    return None


def cycles(record: Record, facts: VariantFacts) -> str | None:
    failed = number(record, "churn", "failed")
    if failed is None:
        return "whether cycles failed is not in the data"
    return f"{failed:,.0f} cycles failed{_named_errors(record)}" if failed else None


def not_reachable(record: Record, facts: VariantFacts) -> str | None:
    """A rate that the generator cannot keep is not lowered: the cell has no figure here."""
    causes = [_generator_busy(record), _send_lag(record), _unsent(record)]
    found = "; ".join(cause for cause in causes if cause)
    rate = number(record, "rate_offered_per_s") or 0
    return f"{rate:,.0f} messages/s are not reachable on this host: {found}" if found else None


def _generator_busy(record: Record) -> str | None:
    busy = load_busy(record) or 0
    return f"the generator was {busy:.0%} busy" if busy > GENERATOR_BUSY_MAX else None


def _send_lag(record: Record) -> str | None:
    lag_us = number(record, "generator", "send_lag_us", "p99") or 0
    latency_us = number(record, "latency_us", "p99") or 0
    bound_us = max(SEND_LAG_US_MIN, SEND_LAG_SHARE_MAX * latency_us)
    return f"send lag p99 {lag_us:,.0f} µs > {bound_us:,.0f} µs" if lag_us > bound_us else None


def _unsent(record: Record) -> str | None:
    share = _missed_share(record)
    return f"{share:.1%} of the sends were missed" if share > MISSED_SENDS_SHARE_VOID else None


def missed_sends(record: Record, facts: VariantFacts) -> str | None:
    missed, share = number(record, "generator", "missed_sends") or 0, _missed_share(record)
    if missed <= MISSED_SENDS_MIN or share <= MISSED_SENDS_SHARE_MAX:
        return None
    return f"{missed:,.0f} sends ({share:.2%}) missed their time"


def _missed_share(record: Record) -> float:
    """Of all sends that were due in the window, those that were not made in it."""
    missed = number(record, "generator", "missed_sends") or 0
    due = (number(record, "rate_offered_per_s") or 0) * (number(record, "window_s") or 0)
    return missed / due if missed > MISSED_SENDS_MIN and due else 0.0


def not_served(record: Record, facts: VariantFacts) -> str | None:
    """Of a rate that the server does not keep, and of a stop across the window's end, the longest
    latencies are not known."""
    return _late(record, LATE_REPLIES_SHARE_VOID)


def late_replies(record: Record, facts: VariantFacts) -> str | None:
    return _late(record, LATE_REPLIES_SHARE_MAX)


def _late(record: Record, share_max: float) -> str | None:
    """By how much what is under way has grown in the window: its messages, less its replies.

    A message has one send lag, however many calls of send it takes.
    """
    sent, echoes = number(record, "generator", "send_lag_us", "count"), number(record, "echoes")
    if not sent or echoes is None:
        return None
    late = sent - echoes
    if late <= LATE_REPLIES_MIN or late <= share_max * sent:
        return None
    return f"the replies to {late:,.0f} of its messages ({late / sent:.1%}) came after the window"


def clock_step(record: Record, facts: VariantFacts) -> str | None:
    step_ms = (number(record, "host", "clock_step_ns") or 0) / 1e6
    if abs(step_ms) <= CLOCK_STEP_MS_MAX:
        return None
    return f"the host's clock was set by {step_ms:+,.1f} ms in the window"


def counters(record: Record, facts: VariantFacts) -> str | None:
    needed: list[tuple[str, ...]] = [("tcp", name) for name in NOISE_COUNTERS]
    if not has_traffic(record):
        return _missing(record, needed)
    side = "generator" if facts.unseen else "server"
    missing = _missing(record, [*needed, (side, "stat_ticks", "steal")])
    # A sandbox may show a /proc/stat of its own, in which nothing moves: nor would steal
    if missing is None and not sum(ticks(record, side).values()):
        return f"not observed: {side}.stat_ticks, which stood still"
    return missing


def steal(record: Record, facts: VariantFacts) -> str | None:
    for side in ("server", "generator"):
        of_side = ticks(record, side)
        total = sum(of_side.values())
        if of_side["steal"] > STEAL_SHARE_MAX * total:
            return f"{of_side['steal'] / total:.1%} of the {side}'s CPU time was stolen"
    return None


def drift(record: Record, facts: VariantFacts) -> str | None:
    """Was the window of one piece? A line through the rates of its tenths, by least squares."""
    rates = record.get("parts_per_s")
    if not isinstance(rates, Sequence) or len(rates) < DRIFT_PARTS_MIN or len(set(rates)) == 1:
        return None
    parts = range(len(rates))
    change = statistics.linear_regression(parts, rates).slope * len(rates) / statistics.fmean(rates)
    if abs(change) <= DRIFT_SHARE_MAX:
        return None
    correlation = statistics.correlation(parts, rates)
    freedom = len(rates) - 2
    # The t of a slope; a perfect line, of which the error is 0, has none
    error = math.sqrt(max(0.0, 1 - correlation**2) / freedom)
    if error and student_t.p_value(correlation / error, freedom) > DRIFT_P_MAX:
        return None
    return f"the rate changed by {change:+.0%} from the window's start to its end"


def uneven(record: Record, facts: VariantFacts) -> str | None:
    """How sure is the mean rate, by the spread of the window's own tenths?"""
    rates = record.get("parts_per_s")
    if not isinstance(rates, Sequence) or len(rates) != UNEVEN_PARTS:
        return "the rates of its tenths are not known: the load stood still across the edge of one"
    if not any(rates):
        return None
    error = statistics.stdev(rates) / math.sqrt(UNEVEN_PARTS)
    half_width = UNEVEN_T * error / statistics.fmean(rates)
    if half_width <= UNEVEN_HALF_WIDTH_MAX:
        return None
    return f"the rate jumps: half of the 95 % interval of its mean is {half_width:.1%}"


def shows_its_tenths(record: Record) -> bool:
    """Whether the window is long enough for a judgement of its tenths."""
    return is_closed_loop(record) and (number(record, "window_s") or 0.0) >= UNEVEN_WINDOW_S_MIN


def retransmits(record: Record, facts: VariantFacts) -> str | None:
    """A storm that outruns the backlog sends its SYNs again: in a ramp that is the result."""
    segments = number(record, "tcp", "RetransSegs") or 0
    if is_ramp(record):
        segments -= number(record, "tcp", "TCPSynRetrans") or 0
    return f"{segments:,.0f} segments sent again" if segments > 0 else None


def counted(text: str, *path: str) -> Check:
    """A check that a counter stayed at zero; `text` says what a count of `{}` means."""

    def check(record: Record, facts: VariantFacts) -> str | None:
        count = number(record, *path)
        return text.format(f"{count:,.0f}") if count else None

    return check


def _missing(record: Record, needed: list[tuple[str, ...]]) -> str | None:
    missing = ", ".join(".".join(path) for path in needed if number(record, *path) is None)
    return f"not observed: {missing}" if missing else None
