"""Define the scenarios. Each entry answers one question.

A scenario says which of the open connections send, and how. A profile says at how many open
connections. All scenarios at the same N share one step: the load opens the connections once, and
every cell of that N runs over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ACTIVE_DEFAULT = 100
# Runs by itself before the first block, if a profile asks for shares of a server's capacity.
CALIBRATION = "calibration"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question.

    Attributes:
        name: its name in profiles, records and the report.
        question: the question that it answers, for the report.
        active: which connections send: none (the cell is the opening itself), a fixed number of
            them (the profile's `active`, or 100), or all.
        churns: each message has a connection of its own, which ends with its echo. As many
            connections as are active are always in this cycle, besides those that stay open.
        loop: closed (the next message leaves when a reply came: capacity) or open (messages leave
            at a fixed total rate, whether replies come or not: latency).
    """

    name: str
    question: str
    active: Literal["none", "fixed", "all"]
    loop: Literal["closed", "open"] = "closed"
    churns: bool = False

    def active_of(self, connections: int, active: int | None) -> int:
        """How many of `connections` send if the profile says `active`."""
        if self.active == "none":
            return 0
        if self.active == "all":
            return connections
        return min(connections, active or ACTIVE_DEFAULT)

    def passing(self, connections: Sequence[int], active: int | None) -> int:
        """How many connections may still be closing while new ones take their places."""
        return self.active_of(max(connections), active) if self.churns else 0


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("ramp", "How fast are N connections opened at once, and do all succeed?", "none"),
        Scenario("idle", "What do idle connections cost while a few are active?", "fixed"),
        Scenario("active", "What does the server carry when every connection is active?", "all"),
        Scenario("paced", "What is the latency at a fixed rate below capacity?", "all", "open"),
        Scenario(CALIBRATION, "What is the capacity with all active? Rates follow.", "all"),
        Scenario(
            "churn", "What does a new connection for each message cost?", "fixed", churns=True
        ),
        Scenario("payload", "How does the size of a message change the cost of an echo?", "fixed"),
        Scenario("depth", "What do several messages in flight per connection change?", "fixed"),
    )
}
