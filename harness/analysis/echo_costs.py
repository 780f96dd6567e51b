"""Compute the costs of an echo in one cell from the raw counters of its record. Pure."""

from __future__ import annotations

from collections.abc import Callable

from harness.contract.stored_cell import StoredCell, StoredSwitches

# Kinds of ticks in which the server's CPUs were busy; during steal they did not run.
BUSY_TICKS = ("user", "nice", "system", "irq", "softirq")
COLUMNS = (
    "switches_per_echo",
    "waits_per_echo",
    "events_per_wake_up",
    "voluntary_per_echo",
    "involuntary_per_echo",
    "user_share",
    "system_share",
    "softirq_share",
)


def columns(record: StoredCell) -> dict[str, float | None]:
    """Return the columns of one record; None if a counter that a column needs is missing."""
    voluntary = _switches(record, lambda switches: switches.voluntary)
    involuntary = _switches(record, lambda switches: switches.involuntary)
    known = voluntary is not None and involuntary is not None
    return {
        "switches_per_echo": (voluntary or 0) + (involuntary or 0) if known else None,
        "voluntary_per_echo": voluntary,
        "involuntary_per_echo": involuntary,
        **_waits(record),
        **_shares(record),
    }


def _waits(record: StoredCell) -> dict[str, float | None]:
    """Divide by the echoes that the server read between the same two moments as its waits."""
    waits, events, size = map(record.server.counters.get, ("waits", "events", "bytes_in"))
    echoes = size / record.payload_bytes if size and record.payload_bytes else None
    return {
        "waits_per_echo": waits / echoes if waits is not None and echoes else None,
        "events_per_wake_up": events / waits if events is not None and waits else None,
    }


def _switches(record: StoredCell, kind: Callable[[StoredSwitches], float | None]) -> float | None:
    if record.closing:  # with its connection a thread ends, and its count of switches is lost
        return None
    rate, switches = record.echoes_per_s, record.server.switches
    count = kind(switches)
    known = rate and switches.interval_s and count is not None
    return count / switches.interval_s / rate if known else None  # type: ignore[operator]


def _shares(record: StoredCell) -> dict[str, float | None]:
    ticks = {name: record.server.stat_ticks.get(name, 0.0) for name in BUSY_TICKS}
    busy = sum(ticks.values())
    parts = {
        "user_share": ticks["user"] + ticks["nice"],
        "system_share": ticks["system"] + ticks["irq"],
        "softirq_share": ticks["softirq"],
    }
    return {name: part / busy if busy else None for name, part in parts.items()}
