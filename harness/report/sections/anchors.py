"""Name a cell's place in the page, and its status in words."""

from __future__ import annotations

from harness.analysis.results import Cell
from harness.contract.statuses import CellStatus

# The statuses that texts for people name differently from the data
STATUS_WORDS: dict[str, str] = {CellStatus.MISSING: "not measured", CellStatus.VOID: "rejected"}


def status_word(status: str) -> str:
    """Return a cell's status as texts for people name it: `void` is *rejected*."""
    return STATUS_WORDS.get(status, status)


def anchor(cell: Cell) -> str:
    """Return the id of the cell's row: `cell-epoll-et-idle-10000-100-64-1`."""
    key = cell.key
    parts = [cell.variant, key.scenario, key.connections, key.active, key.payload_bytes, key.depth]
    if key.rate_offered_per_s is not None:
        parts.append(f"{key.rate_offered_per_s:g}")
    if key.closing is not None:
        parts.append(key.closing)
    if key.rate_share is not None:
        parts.append(f"share{key.rate_share:g}")
    return "cell-" + "-".join(map(str, parts))
