"""Find what limited each server in the headline cell, with the counts behind it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis import wording
from harness.analysis.findings import SWITCHES_MIN, Finding, Name, Part
from harness.analysis.results import Analysis, Cell
from harness.contract.stored_campaign import StoredHead

# These calls examine every descriptor, ready or not.
SCANNING = ("select", "poll")


def find(head: StoredHead, analysis: Analysis) -> Iterator[Finding]:
    """Yield one finding per server whose counters show its limit."""
    architectures = {variant.name: variant.architecture for variant in head.variants}
    for cell in analysis.cells:
        if cell.key == analysis.headline.key and cell.efficiency:
            parts = _limit(cell, architectures.get(cell.variant))
            if parts:
                yield Finding("limit", (Name(cell.variant), " is limited by ", *parts, "."))


def _limit(cell: Cell, architecture: str | None) -> tuple[Part, ...]:
    found, calls = cell.events_per_wake_up, cell.syscalls_per_echo
    idle = cell.key.connections - cell.key.active
    if architecture in SCANNING and found and idle > found:
        words = " idle descriptors per wake-up, which finds "
        return "scanning ", wording.count(idle), words, wording.plain(found), " ready"
    switches = cell.voluntary_per_echo
    if switches is not None and switches >= SWITCHES_MIN:
        return wording.plain(switches), " voluntary context switches per echo"
    if calls is not None:
        return wording.plain(calls), " system calls per echo"
    return ()
