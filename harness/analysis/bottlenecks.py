"""Where the CPU time of each server goes in the headline cell. Pure.

A count of calls or switches is no cause: the sentence gives the shares of the CPU time, and after
them the counts that belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.analysis import wording
from harness.analysis.findings import SWITCHES_MIN, Finding, Name, Part, fill
from harness.analysis.results import Analysis, Cell

# These ask every descriptor at each call, ready or not.
SCANNING = ("select", "poll")
# Less is not worth words
SOFTIRQ_MIN = 0.01


def find(campaign: Mapping[str, Any], analysis: Analysis) -> Iterator[Finding]:
    """One finding per server whose CPU time is known by kind."""
    architectures = {
        str(one.get("name")): str(one.get("architecture")) for one in campaign.get("variants") or ()
    }
    for cell in analysis.cells:
        is_headline = cell.key == analysis.headline.key and cell.efficiency
        if is_headline and (shares := _shares(cell)):
            counts = _counts(cell, architectures.get(cell.variant, ""))
            yield Finding("cpu-time", (Name(cell.variant), *shares, *counts, "."))


def _shares(cell: Cell) -> tuple[Part, ...]:
    """The kernel's share of the busy time and the server's own, and how much time was idle."""
    own, system, softirq = cell.user_share, cell.system_share, cell.softirq_share
    if own is None or system is None or softirq is None:
        return ()
    parts = fill(
        " spends {} of its CPU time in the kernel and {} in its own code",
        wording.share(1 - own),
        wording.share(own),
    )
    if softirq >= SOFTIRQ_MIN:
        parts = (*parts, *fill(" (network interrupts: {})", wording.share(softirq)))
    if cell.saturated is False and cell.server_busy is not None:
        parts = (
            *parts,
            *fill(", and its CPU is idle for {} of the time", wording.share(1 - cell.server_busy)),
        )
    return parts


def _counts(cell: Cell, architecture: str) -> tuple[Part, ...]:
    """What it does there, as far as it was counted."""
    found, calls = cell.events_per_wake_up, cell.syscalls_per_echo
    idle = cell.key.connections - cell.key.active
    if architecture in SCANNING and found and idle > found:
        return fill(
            ": each wake-up scans {} descriptors to find {} ready",
            wording.count(cell.key.connections),
            wording.plain(found),
        )
    switches = cell.voluntary_per_echo
    if switches is not None and switches >= SWITCHES_MIN:
        return fill(": its threads go to sleep {} times per echo", wording.plain(switches))
    if calls is not None:
        return fill(": {} system calls per echo", wording.plain(calls))
    return ()
