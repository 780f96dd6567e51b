"""Define a check: a function that takes a `Scene`, with a name and a reason.

It returns one line that says what it saw, or raises `Failed` with the numbers, or `Skipped` with
the reason. A group is a list that its decorator fills, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.conformance.extra_servers import Extra
from harness.conformance.scene import Scene
from harness.contract.suite_spec import SuiteSpec

Body = Callable[[Scene], str]

CONNECTIONS_USUAL = 120
TIMEOUT_USUAL_S = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        proves: the property, as a sentence.
        catches: the bug of a server that fails, and where to read about it.
        connections: largest number of connections that it holds at once.
        idle_s: how long it idles in the full suite.
        crowds: the connections that it holds while idle would disturb measurements.
        light: it may run even while such connections are open.
        quick: it belongs to the quick subset.
        tcp: it does not apply to a unix:// address.
        extra: the additional server that it needs.
        timeout_s: upper bound of its active time; a check that exceeds it hangs.
    """

    id: str
    name: str
    group: str
    body: Body
    proves: str
    catches: str
    connections: int = CONNECTIONS_USUAL
    idle_s: float = 0.0
    crowds: bool = False
    light: bool = False
    quick: bool = True
    tcp: bool = False
    extra: Callable[[SuiteSpec], Extra | None] | None = None
    timeout_s: float = TIMEOUT_USUAL_S

    @property
    def explanation(self) -> str:
        """The text that is printed with a failure."""
        return f"{self.proves} {self.catches}"


class Group:
    """The checks of one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(
        self, identity: str, name: str, *, proves: str, catches: str, **traits: Any
    ) -> Callable[[Body], Body]:
        """Register the function below as a check of this group; `traits` are members of Check."""

        def register(body: Body) -> Body:
            self.checks.append(Check(identity, name, self.name, body, proves, catches, **traits))
            return body

        return register
