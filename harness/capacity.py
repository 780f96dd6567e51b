"""How many echoes per second a variant can carry, measured once before a campaign's first block.

Rates of the open loop are shares of it. Pure: a record of a calibration cell in, a capacity out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.gates import USABLE
from harness.record import Record, number
from harness.scenarios import CALIBRATION

# A rate is what a server can do only where its CPUs had nothing left to give (docs/method.md).
SATURATED_BUSY_MIN = 0.95


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one variant carries at one number of connections, all active, in a closed loop.

    Attributes:
        echoes_per_s: the capacity, in echoes per second.
        extrapolated: the server's CPUs were not full, so it is the measured rate over their busy
            share: what they would carry if each echo went on costing the same.
        measured_per_s: the measured rate.
        server_busy: busy share of the server's CPUs meanwhile.
    """

    connections: int
    payload_bytes: int
    depth: int
    echoes_per_s: float
    extrapolated: bool
    measured_per_s: float
    server_busy: float

    def fits(self, connections: int, payload_bytes: int, depth: int) -> bool:
        """Whether it was measured with these."""
        return (self.connections, self.payload_bytes, self.depth) == (
            connections,
            payload_bytes,
            depth,
        )


def of_record(record: Record) -> Capacity | None:
    """The capacity that a calibration cell shows; None where it has no figure to believe."""
    rate, busy = number(record, "echoes_per_s"), number(record, "server", "cpu_busy")
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
