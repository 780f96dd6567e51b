"""How many echoes per second a variant can carry. Rates of the open loop are shares of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


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
