"""What a check is: a function that takes a `Scene`, with a name and a reason.

It returns one line that says what it saw, raises `Failed` with the numbers, or `Skipped` with the
reason. A group is a list that its decorator fills, in the order in which the file tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.conformance.extras import Extra
from harness.conformance.scene import Scene
from harness.contract.suite_spec import SuiteSpec

Body = Callable[[Scene], str]

CONNECTIONS_USUAL = 120
TIMEOUT_USUAL_S = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    proves: the property, as a sentence. catches: what is wrong with a server that fails, and where
    to read on. connections: the most that it holds at once. idle_s: for how long it idles in the
    full suite. crowds: what it holds meanwhile would disturb measurements. light: it may run even
    then. quick: it belongs to the quick subset. tcp: it means nothing on a unix:// address. extra:
    the server of its own that it needs. timeout_s: of its active time; more is a hang.
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
        """What is printed with a failure."""
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
