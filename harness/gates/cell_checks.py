"""The checks of the gates: each returns a sentence about what is wrong with a cell, or None.

They are in the order in which the report prints them.
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

# Largest difference of rate × mean latency from the messages in flight (active × depth), as a
# share, in a closed loop.
LITTLE_SHARE_MAX = 0.02
# Largest share of a turn that its edges may cut. A larger allowance would hide the faults that the
# gate looks for.
TURN_EDGES_MAX = 0.05
# An open loop's latency is the server's only while the generator has CPU time to spare and sends on
# time. The p99 of its delay must be at most 100 µs, or a tenth of the latency's p99.
GENERATOR_BUSY_MAX = 0.80
SEND_LAG_US_MIN = 100.0
SEND_LAG_SHARE_MAX = 0.10
# The edge of nearly every window cuts off one send, which proves nothing. Up to one in a thousand
# changes no printed percentile (p99.9 needs 10,000 values). From one in a hundred on, the offered
# rate differs from the label, and the missing messages would decide the p99.
MISSED_SENDS_MIN = 1
MISSED_SENDS_SHARE_MAX = 0.001
MISSED_SENDS_SHARE_VOID = 0.01
# The same for replies after the window: no percentile contains them, and they are the slowest.
LATE_REPLIES_MIN = 1
LATE_REPLIES_SHARE_MAX = MISSED_SENDS_SHARE_MAX
LATE_REPLIES_SHARE_VOID = MISSED_SENDS_SHARE_VOID
# Above this share of steal, the hypervisor ran other guests (proc_stat(5)).
STEAL_SHARE_MAX = 0.02
# A slope in the rates of the window's tenths. On a shared host the rate of a tenth is rarely exact
# to more than 2 %, so chance alone makes a slope of 5 %. A cell fails only if both the change and
# its probability (two-sided t test of the slope) contradict a steady rate.
DRIFT_SHARE_MAX = 0.10
DRIFT_P_MAX = 0.005
DRIFT_PARTS_MIN = 3  # a line through two points always fits
# Other guests that a hypervisor does not report as steal share caches, memory and cores with this
# host. The rate then jumps. The bound is a rule of thumb: half of the 95 % interval of the mean
# rate, by Student's t for ten tenths, must not exceed the smallest difference that the report shows
# (EFFECT_MIN of analysis/intervals.py). If neighbouring tenths are correlated, the true interval is
# wider. In windows of a second or less, single events of the host decide the rate of a tenth.
UNEVEN_HALF_WIDTH_MAX = 0.05
UNEVEN_PARTS = 10
UNEVEN_T = 2.262
UNEVEN_WINDOW_S_MIN = 1.95  # a measured window of 2 s is some microseconds shorter or longer
# A step is a movement of CLOCK_REALTIME against CLOCK_MONOTONIC (NTP's slewing moves both equally).
# ntpd steps by 128 ms or more, a resumed VM by seconds. Two clock reads are some hundred ns apart.
CLOCK_STEP_MS_MAX = 1.0
# A server that declares a ceiling must come near it. Stopping far below it is a fault.
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
        return None  # it failed before the ceiling, for another reason
    held = held_connections(record)
    if held is None or not CEILING_HELD_SHARE_MIN * ceiling <= held < requested:
        return None
    because = f" ({facts.reason})" if facts.reason else ""
    return f"holds {held:,.0f} of {requested:,.0f}{because}"


def failure(record: StoredCell, facts: VariantFacts) -> str | None:
    if record.failure is None:
        return None
    text = record.failure.text or record.failure.code or "failed, and gave no reason"
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
    if churns(record):  # cycles prove the connections that come and go
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
    """Check by Little's law, L = X·R, that every connection stayed busy and was timed.

    L = active × depth is known. An echo is timed as a whole but counted where it ends. The edges of
    the window, or of each turn of it, therefore cut up to one echo per connection: X·R is exact to
    R / window at best, and the bound allows that much more. The engine's own integral of messages
    in flight has no edges, so its bound is 2 %.
    """
    active, depth = record.active, record.depth
    rate, mean_us = record.echoes_per_s, record.latency_us.mean
    window_s = record.window_s
    if not active or not depth or not window_s or rate is None or mean_us is None:
        return None
    load = active * depth
    # Between two cycles of churn the client closes and opens a socket, with no message in flight.
    outstanding = record.generator.little_outstanding
    if churns(record):
        load = load if outstanding is None else min(load, outstanding)
    turns = record.turns or 1
    edges = mean_us / 1e6 / window_s * turns
    if turns > 1 and edges > TURN_EDGES_MAX:
        return f"the edges of its {turns:.0f} turns cut {edges:.0%} of its echoes"
    found = rate * mean_us / 1e6
    if abs(load - found) > (LITTLE_SHARE_MAX + edges) * load:
        return f"expected {load:,.0f} in flight, computed {found:,.1f} from rate × mean latency"
    if outstanding is not None and abs(load - outstanding) > LITTLE_SHARE_MAX * load:
        return f"expected {load:,.0f} in flight, measured {outstanding:,.1f} on average"
    return None


def cycles(record: StoredCell, facts: VariantFacts) -> str | None:
    failed = record.churn.failed
    if failed is None:
        return "whether cycles failed is not in the data"
    return f"{failed:,.0f} cycles failed{_named_errors(record)}" if failed else None


def not_reachable(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check that the generator kept the offered rate, which it never lowers."""
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
    """Return the share of the sends due in the window that the generator did not make in it."""
    missed = record.generator.missed_sends or 0
    due = (record.rate_offered_per_s or 0) * (record.window_s or 0)
    return missed / due if missed > MISSED_SENDS_MIN and due else 0.0


def not_served(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check that the server kept the rate.

    If it did not, or if it stopped across the window's end, the longest latencies are not known.
    """
    return _late(record, LATE_REPLIES_SHARE_VOID)


def late_replies(record: StoredCell, facts: VariantFacts) -> str | None:
    return _late(record, LATE_REPLIES_SHARE_MAX)


def _late(record: StoredCell, share_max: float) -> str | None:
    """Check how many of the window's messages had their replies after it.

    Each message has one send lag, whatever the number of its calls of send.
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
    """Check that the rate was steady: fit a line to the rates of the window's tenths."""
    rates = record.parts_per_s
    if rates is None or len(rates) < DRIFT_PARTS_MIN or len(set(rates)) == 1:
        return None
    parts = range(len(rates))
    change = statistics.linear_regression(parts, rates).slope * len(rates) / statistics.fmean(rates)
    if abs(change) <= DRIFT_SHARE_MAX:
        return None
    correlation = statistics.correlation(parts, rates)
    freedom = len(rates) - 2
    # The t of a slope; a perfect line has none, because its error is 0
    error = math.sqrt(max(0.0, 1 - correlation**2) / freedom)
    if error and student_t.p_value(correlation / error, freedom) > DRIFT_P_MAX:
        return None
    return f"the rate changed by {change:+.0%} from the window's start to its end"


def uneven(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check how exact the mean rate is, by the spread of the window's tenths."""
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
    """Whether the window is long enough to judge its tenths."""
    return is_closed_loop(record) and (record.window_s or 0.0) >= UNEVEN_WINDOW_S_MIN


def retransmits(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check for segments sent again. In a ramp, SYNs sent again are part of the result."""
    segments = record.tcp.get("RetransSegs") or 0
    if is_ramp(record):
        segments -= record.tcp.get("TCPSynRetrans") or 0
    return f"{segments:,.0f} segments sent again" if segments > 0 else None


def counted(text: str, read: Callable[[StoredCell], float | None]) -> Check:
    """Return a check that a counter stayed at zero; `text` describes a count of `{}`."""

    def check(record: StoredCell, facts: VariantFacts) -> str | None:
        count = read(record)
        return text.format(f"{count:,.0f}") if count else None

    return check


def _missing(needed: Sequence[Named]) -> str | None:
    missing = ", ".join(name for name, value in needed if value is None)
    return f"not observed: {missing}" if missing else None
