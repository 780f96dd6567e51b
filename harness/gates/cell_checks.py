"""What each gate compares: a record and its variant's facts → the sentence that is wrong, or None.

In the order in which the report prints them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from harness.contract.record import (
    VariantFacts,
    churns,
    has_traffic,
    held_connections,
    is_closed_loop,
    is_open_loop,
    is_ramp,
    load_busy,
)
from harness.contract.stored_cell import StoredCell, StoredSide
from harness.gates import student_t
from harness.gates.cpu_checks import ticks

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

Check = Callable[[StoredCell, VariantFacts], str | None]
# A key of a record, as its document spells it, and its value.
Named = tuple[str, float | None]


def capped(record: StoredCell, facts: VariantFacts) -> str | None:
    requested = record.connections_requested
    ceiling = facts.connections_max
    if ceiling is None or requested is None or requested <= ceiling:
        return None
    if not (record.is_finished or record.is_capped):
        return None  # it broke on the way up: that is no ceiling
    held = held_connections(record)
    if held is None or not CEILING_HELD_SHARE_MIN * ceiling <= held < requested:
        return None
    because = f" ({facts.reason})" if facts.reason else ""
    return f"holds {held:,.0f} of {requested:,.0f}{because}"


def failure(record: StoredCell, facts: VariantFacts) -> str | None:
    if record.failure is None:
        return None
    text = record.failure.text or record.failure.code or "failed without a word"
    return f"{text} (far from a declared ceiling)" if record.is_capped else text


def evidence(record: StoredCell, facts: VariantFacts) -> str | None:
    needed: list[Named] = [
        ("connections_requested", record.connections_requested),
        ("connections_established_min", record.connections_established_min),
        ("corrupt_bytes", record.corrupt_bytes),
        ("lost", record.lost),
    ]
    if has_traffic(record):
        needed += [
            ("window_s", record.window_s),
            ("echoes", record.echoes),
            ("echoes_per_s", record.echoes_per_s),
            ("latency_us.mean", record.latency_us.mean),
        ]
    if has_traffic(record) and not facts.unseen:
        needed += [
            ("server.cpu_ns", record.server.cpu_ns),
            ("server.cpu_busy", record.server.cpu_busy),
        ]
    if is_open_loop(record):
        lag = record.generator.send_lag_us
        needed += [
            ("generator.cpu_busy", record.generator.cpu_busy),
            ("generator.send_lag_us.count", lag.count),
            ("generator.send_lag_us.p99", lag.p99),
        ]
    return _missing(needed)


def established(record: StoredCell, facts: VariantFacts) -> str | None:
    requested = record.connections_requested
    established = record.connections_established_min
    if requested is None or established is None:
        return None
    if churns(record):  # those that come and go are proved by their cycles
        requested -= record.active or 0
    if established == requested:
        return None
    return f"{established:,.0f} of {requested:,.0f} connections established at the lowest"


def lost(record: StoredCell, facts: VariantFacts) -> str | None:
    lost = record.lost or 0
    return f"{lost:,.0f} connections lost{_named_errors(record)}" if lost else None


def _named_errors(record: StoredCell) -> str:
    named = ", ".join(f"{name}: {count:,.0f}" for name, count in sorted(record.errors.items()))
    return f" ({named})" if named else ""


def silent(record: StoredCell, facts: VariantFacts) -> str | None:
    return "no echo came back" if record.echoes == 0 else None


def little(record: StoredCell, facts: VariantFacts) -> str | None:
    """Little's law, L = X·R, with L = A·depth known: did every connection stay busy and timed?

    An echo is timed as a whole but counted by where it ends, so the two edges of the window, or of
    each turn of it, cut up to one echo per connection: X·R is known to R / window at best, and that
    much is allowed on top. The engine's own integral of what is outstanding has no edges: 2 % it
    is.
    """
    active, depth = record.active, record.depth
    rate, mean_us = record.echoes_per_s, record.latency_us.mean
    window_s = record.window_s
    if not active or not depth or not window_s or rate is None or mean_us is None:
        return None
    load = active * depth
    # Between two cycles of churn there is a close and a socket: only what was under way is known.
    outstanding = record.generator.little_outstanding
    if churns(record):
        load = load if outstanding is None else min(load, outstanding)
    turns = record.turns or 1
    edges = mean_us / 1e6 / window_s * turns
    if turns > 1 and edges > TURN_EDGES_MAX:
        return f"the edges of its {turns:.0f} turns cut {edges:.0%} of its echoes"
    found = rate * mean_us / 1e6
    if abs(load - found) > (LITTLE_SHARE_MAX + edges) * load:
        return f"rate × mean latency is {found:,.1f}, but {load:,.0f} messages were to be under way"
    if outstanding is not None and abs(load - outstanding) > LITTLE_SHARE_MAX * load:
        return f"{outstanding:,.1f} messages were under way on average, {load:,.0f} were to be"
    return None


def cycles(record: StoredCell, facts: VariantFacts) -> str | None:
    failed = record.churn.failed
    if failed is None:
        return "whether cycles failed is not in the data"
    return f"{failed:,.0f} cycles failed{_named_errors(record)}" if failed else None


def not_reachable(record: StoredCell, facts: VariantFacts) -> str | None:
    """A rate that the generator cannot keep is not lowered: the cell has no figure here."""
    causes = [_generator_busy(record), _send_lag(record), _unsent(record)]
    found = "; ".join(cause for cause in causes if cause)
    rate = record.rate_offered_per_s or 0
    return f"{rate:,.0f} messages/s are not reachable on this host: {found}" if found else None


def _generator_busy(record: StoredCell) -> str | None:
    busy = load_busy(record) or 0
    return f"the generator was {busy:.0%} busy" if busy > GENERATOR_BUSY_MAX else None


def _send_lag(record: StoredCell) -> str | None:
    lag_us = record.generator.send_lag_us.p99 or 0
    latency_us = record.latency_us.p99 or 0
    bound_us = max(SEND_LAG_US_MIN, SEND_LAG_SHARE_MAX * latency_us)
    return f"send lag p99 {lag_us:,.0f} µs > {bound_us:,.0f} µs" if lag_us > bound_us else None


def _unsent(record: StoredCell) -> str | None:
    share = _missed_share(record)
    return f"{share:.1%} of the sends were missed" if share > MISSED_SENDS_SHARE_VOID else None


def missed_sends(record: StoredCell, facts: VariantFacts) -> str | None:
    missed, share = record.generator.missed_sends or 0, _missed_share(record)
    if missed <= MISSED_SENDS_MIN or share <= MISSED_SENDS_SHARE_MAX:
        return None
    return f"{missed:,.0f} sends ({share:.2%}) missed their time"


def _missed_share(record: StoredCell) -> float:
    """Of all sends that were due in the window, those that were not made in it."""
    missed = record.generator.missed_sends or 0
    due = (record.rate_offered_per_s or 0) * (record.window_s or 0)
    return missed / due if missed > MISSED_SENDS_MIN and due else 0.0


def not_served(record: StoredCell, facts: VariantFacts) -> str | None:
    """Of a rate that the server does not keep, and of a stop across the window's end, the longest
    latencies are not known."""
    return _late(record, LATE_REPLIES_SHARE_VOID)


def late_replies(record: StoredCell, facts: VariantFacts) -> str | None:
    return _late(record, LATE_REPLIES_SHARE_MAX)


def _late(record: StoredCell, share_max: float) -> str | None:
    """By how much what is under way has grown in the window: its messages, less its replies.

    A message has one send lag, however many calls of send it takes.
    """
    sent, echoes = record.generator.send_lag_us.count, record.echoes
    if not sent or echoes is None:
        return None
    late = sent - echoes
    if late <= LATE_REPLIES_MIN or late <= share_max * sent:
        return None
    return f"the replies to {late:,.0f} of its messages ({late / sent:.1%}) came after the window"


def clock_step(record: StoredCell, facts: VariantFacts) -> str | None:
    step_ms = (record.host.clock_step_ns or 0) / 1e6
    if abs(step_ms) <= CLOCK_STEP_MS_MAX:
        return None
    return f"the host's clock was set by {step_ms:+,.1f} ms in the window"


def counters(record: StoredCell, facts: VariantFacts) -> str | None:
    needed: list[Named] = [(f"tcp.{name}", record.tcp.get(name)) for name in NOISE_COUNTERS]
    if not has_traffic(record):
        return _missing(needed)
    side: tuple[str, StoredSide] = ("server", record.server)
    if facts.unseen:
        side = ("generator", record.generator)
    name, figures = side
    missing = _missing([*needed, (f"{name}.stat_ticks.steal", figures.stat_ticks.get("steal"))])
    # A sandbox may show a /proc/stat of its own in which no counter moves, steal included
    if missing is None and not sum(ticks(figures).values()):
        return f"not observed: {name}.stat_ticks, which stood still"
    return missing


def steal(record: StoredCell, facts: VariantFacts) -> str | None:
    for side, figures in (("server", record.server), ("generator", record.generator)):
        of_side = ticks(figures)
        total = sum(of_side.values())
        if of_side["steal"] > STEAL_SHARE_MAX * total:
            return f"{of_side['steal'] / total:.1%} of the {side}'s CPU time was stolen"
    return None


def drift(record: StoredCell, facts: VariantFacts) -> str | None:
    """Was the window of one piece? A line through the rates of its tenths, by least squares."""
    rates = record.parts_per_s
    if rates is None or len(rates) < DRIFT_PARTS_MIN or len(set(rates)) == 1:
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


def uneven(record: StoredCell, facts: VariantFacts) -> str | None:
    """How sure is the mean rate, by the spread of the window's own tenths?"""
    rates = record.parts_per_s
    if rates is None or len(rates) != UNEVEN_PARTS:
        return "the rates of its tenths are not known: the load stood still across the edge of one"
    if not any(rates):
        return None
    error = statistics.stdev(rates) / math.sqrt(UNEVEN_PARTS)
    half_width = UNEVEN_T * error / statistics.fmean(rates)
    if half_width <= UNEVEN_HALF_WIDTH_MAX:
        return None
    return f"the rate jumps: half of the 95 % interval of its mean is {half_width:.1%}"


def shows_its_tenths(record: StoredCell) -> bool:
    """Whether the window is long enough for a judgement of its tenths."""
    return is_closed_loop(record) and (record.window_s or 0.0) >= UNEVEN_WINDOW_S_MIN


def retransmits(record: StoredCell, facts: VariantFacts) -> str | None:
    """A storm that outruns the backlog sends its SYNs again: in a ramp that is the result."""
    segments = record.tcp.get("RetransSegs") or 0
    if is_ramp(record):
        segments -= record.tcp.get("TCPSynRetrans") or 0
    return f"{segments:,.0f} segments sent again" if segments > 0 else None


def counted(text: str, read: Callable[[StoredCell], float | None]) -> Check:
    """A check that a counter stayed at zero; `text` says what a count of `{}` means."""

    def check(record: StoredCell, facts: VariantFacts) -> str | None:
        count = read(record)
        return text.format(f"{count:,.0f}") if count else None

    return check


def _missing(needed: Sequence[Named]) -> str | None:
    missing = ", ".join(name for name, value in needed if value is None)
    return f"not observed: {missing}" if missing else None
