"""Compute capacities from calibration cells. The open loop's rates are shares of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract.stored_cell import StoredCell
from harness.gates import USABLE
from harness.plan.capacity import Capacity
from harness.plan.scenarios import CALIBRATION

# A measured rate is a server's capacity only if its CPUs were this busy (docs/method.md).
SATURATED_BUSY_MIN = 0.95


def of_cell(cell: StoredCell) -> Capacity | None:
    """Return the capacity that a calibration cell shows; None if it has no usable figure."""
    rate, busy = cell.echoes_per_s, cell.server.cpu_busy
    if cell.status not in USABLE or not rate or not busy:
        return None
    extrapolated = busy < SATURATED_BUSY_MIN
    return Capacity(
        connections=int(cell.connections_requested or 0),
        payload_bytes=int(cell.payload_bytes or 0),
        depth=int(cell.depth or 0),
        echoes_per_s=rate / busy if extrapolated else rate,
        extrapolated=extrapolated,
        measured_per_s=rate,
        server_busy=busy,
    )


def of_cells(cells: Iterable[StoredCell]) -> dict[str, list[Capacity]]:
    """Return {server: its capacities} from the calibration cells of a campaign.

    The last attempt with a usable figure counts: rates follow from it, and no result does.
    """
    latest: dict[tuple[str, int], Capacity] = {}
    for cell in sorted(cells, key=lambda one: one.attempt):
        known = of_cell(cell) if cell.scenario == CALIBRATION else None
        if known is not None:
            latest[cell.variant, cell.cell] = known
    found: dict[str, list[Capacity]] = {}
    for (variant, _), known in sorted(latest.items(), key=lambda item: item[0]):
        found.setdefault(variant, []).append(known)
    return found
