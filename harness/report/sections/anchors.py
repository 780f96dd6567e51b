"""Name a cell's place in the page, and its status in words."""

from __future__ import annotations

from harness.analysis.results import Cell
from harness.contract.statuses import CellStatus

# The statuses that texts for people name differently from the data
STATUS_WORDS: dict[str, str] = {CellStatus.MISSING: "not measured", CellStatus.VOID: "rejected"}

# The gate of a rate that the load could not keep.
NOT_REACHABLE = "not-reachable"


def status_word(status: str) -> str:
    """Return a cell's status as texts for people name it: `void` is *rejected*."""
    return STATUS_WORDS.get(status, status)


def is_out_of_reach(cell: Cell) -> bool:
    """Return whether the load could keep the rate in no trial: nothing is known of the server."""
    is_rejected = cell.status == CellStatus.VOID
    return is_rejected and any(reason.code == NOT_REACHABLE for reason in cell.reasons)


def cell_word(cell: Cell) -> str:
    """Return a cell's status in words; a rate that the host cannot offer is *out of reach*."""
    return "out of reach" if is_out_of_reach(cell) else status_word(cell.status)


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
