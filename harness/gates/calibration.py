"""Calibration cells → capacities. The open loop's rates are shares of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract.record import Record
from harness.contract.stored_cell import StoredCell
from harness.gates import USABLE
from harness.plan.capacity import Capacity
from harness.plan.scenarios import CALIBRATION

# A rate is what a server can do only where its CPUs had nothing left to give (docs/method.md).
SATURATED_BUSY_MIN = 0.95


def of_record(record: Record) -> Capacity | None:
    """The capacity that a calibration cell shows; None where it has no figure to believe."""
    cell = StoredCell.of(record)
    rate, busy = cell.echoes_per_s, cell.server.cpu_busy
    if record.get("status") not in USABLE or not rate or not busy:
        return None
    extrapolated = busy < SATURATED_BUSY_MIN
    return Capacity(
        connections=int(record["connections_requested"]),
        payload_bytes=int(record["payload_bytes"]),
        depth=int(record["depth"]),
        echoes_per_s=rate / busy if extrapolated else rate,
        extrapolated=extrapolated,
        measured_per_s=rate,
        server_busy=busy,
    )


def of_records(records: Iterable[Record]) -> dict[str, list[Capacity]]:
    """What the calibration cells of a campaign say of each variant.

    Of a cell the last attempt with a figure to believe counts: rates follow from it, and no result.
    """
    latest: dict[tuple[str, int], Capacity] = {}
    for record in sorted(records, key=lambda one: one["attempt"]):
        known = of_record(record) if record["scenario"] == CALIBRATION else None
        if known is not None:
            latest[record["variant"], record["cell"]] = known
    found: dict[str, list[Capacity]] = {}
    for (variant, _), known in sorted(latest.items(), key=lambda item: item[0]):
        found.setdefault(variant, []).append(known)
    return found
