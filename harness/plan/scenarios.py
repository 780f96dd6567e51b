"""The scenarios: one entry, one question.

A scenario says which of the open connections talk, and how; a profile says at how many open
connections it is asked. All scenarios at the same N share one step: the connections are opened
once and every cell of that N runs over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ACTIVE_DEFAULT = 100
# Runs by itself, before the first block, where a profile asks for shares of a variant's capacity.
CALIBRATION = "calibration"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question.

    Attributes:
        name: what profiles, records and the report call it.
        question: what it answers, for the report.
        active: which connections talk: none (the cell is the opening itself), a fixed number of
            them (the profile's `active`, or 100), or all.
        churns: whether each message has a connection of its own, which ends with its echo; as many
            connections as are active are always on their way, beside the others that stay open.
        loop: closed (the next message leaves when a reply came: capacity) or open (messages leave
            at a fixed total rate whatever comes back: latency).
    """

    name: str
    question: str
    active: Literal["none", "fixed", "all"]
    loop: Literal["closed", "open"] = "closed"
    churns: bool = False

    def active_of(self, connections: int, active: int | None) -> int:
        """How many of `connections` talk when the profile says `active`."""
        if self.active == "none":
            return 0
        if self.active == "all":
            return connections
        return min(connections, active or ACTIVE_DEFAULT)

    def passing(self, connections: Sequence[int], active: int | None) -> int:
        """How many connections may be on their way out while others take their places."""
        return self.active_of(max(connections), active) if self.churns else 0


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("ramp", "How fast are N connections opened at once, and do all succeed?", "none"),
        Scenario("idle", "What do idle connections cost while a few are active?", "fixed"),
        Scenario("active", "What does the server carry when every connection is active?", "all"),
        Scenario("paced", "What latency does a fixed rate see, below the knee?", "all", "open"),
        Scenario(CALIBRATION, "What do all connections together carry? Rates follow.", "all"),
        Scenario(
            "churn", "What does a new connection for each message cost?", "fixed", churns=True
        ),
        Scenario("payload", "How does the size of a message bear on the cost of an echo?", "fixed"),
        Scenario("depth", "What do several messages under way per connection change?", "fixed"),
    )
}
