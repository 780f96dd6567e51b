"""What conductor and engine nodes tell each other, as Locust custom messages.

The local runner delivers a message to its own listener and the master sends it to its workers, so
both ways of running share every line on both ends.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

# From the conductor to the nodes
RAMP = "c10k-ramp"
ASK = "c10k-ask"
START = "c10k-start"
STOP = "c10k-stop"
# From a node to the conductor
STATUS = "c10k-status"
WINDOW = "c10k-window"
FAULT = "c10k-fault"
# The key under which a node's figures travel in Locust's own worker report
REPORT_KEY = "c10k"

# Both ends report at this interval (Locust's own default is 3 s)
REPORT_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """Traffic with one window, for one engine; no two orders of a trial have the same number.

    Window edges are CLOCK_MONOTONIC ns of this host.
    """

    number: int
    cell: int
    active: int
    payload_bytes: int
    depth: int
    rate_per_s: float
    seed: int
    window_start_ns: int
    window_end_ns: int
    spin: bool
    closing: Literal["fin", "rst"] | None = None

    def as_data(self) -> dict[str, Any]:
        """The order as a message's data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Order:
        """The order from a message's data."""
        return cls(**data)
