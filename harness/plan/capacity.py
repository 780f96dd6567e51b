"""The capacity of a server in echoes per second. Rates of the open loop are shares of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity of one server at one number of connections, all active, in a closed loop.

    Attributes:
        echoes_per_s: the capacity, in echoes per second.
        extrapolated: the server's CPUs were not full. The capacity is then the measured rate
            divided by their busy share, as if each further echo had the same cost.
        measured_per_s: the measured rate.
        server_busy: busy share of the server's CPUs during the measurement.
    """

    connections: int
    payload_bytes: int
    depth: int
    echoes_per_s: float
    extrapolated: bool
    measured_per_s: float
    server_busy: float

    def fits(self, connections: int, payload_bytes: int, depth: int) -> bool:
        """Whether it was measured with these settings."""
        return (self.connections, self.payload_bytes, self.depth) == (
            connections,
            payload_bytes,
            depth,
        )
