"""The events that the conformance suite sends to the harness: one line of JSON each on stdout.

The suite writes them as these models, and `parse` is the only reader. `hello`, `restart` and
`start` ask for a server; `turn` asks for a reply; `done` or `failure` is the last event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.contract.cell_record import Told, Written
from harness.contract.load_events import EventError, Hello
from harness.contract.parsing import complaint

# undecided: it failed for lack of time, while other processes used the server's CPUs.
Status = Literal["pass", "fail", "skip", "undecided"]
# What the harness judges, because it started the server.
Judged = Literal["refusal", "clean-exit", "counters", "quiet"]


class SuiteReady(Written):
    """The server echoes."""

    event: Literal["ready"] = "ready"
    ready_s: float
    server: dict[str, object] = Field(description="how the suite found its processes")


class StartServer(Written):
    """Ask the harness to start an additional server."""

    event: Literal["start"] = "start"
    name: str
    env: dict[str, str]
    refuses: bool = Field(description="whether it must exit by itself")


class RestartServer(Written):
    """Ask the harness to start the main server again."""

    event: Literal["restart"] = "restart"
    env: dict[str, str]


class TurnAsked(Written):
    """Ask the harness for the CPUs."""

    event: Literal["turn"] = "turn"
    crowds: bool


class TurnOver(Written):
    """Give the CPUs back. `left`: the check that crowded has ended."""

    event: Literal["over"] = "over"
    left: bool


class CheckEnded(Written):
    """The result of one check."""

    event: Literal["check"] = "check"
    id: str
    name: str
    group: str
    status: Status
    text: Told
    explanation: str
    duration_s: float
    timed_s: float


class Expected(Written):
    """A check whose result only the harness can know. The last three depend on `what`."""

    event: Literal["expect"] = "expect"
    id: str
    name: str
    group: str
    explanation: str
    what: Judged
    server: str
    env: dict[str, str] = Field(default={})
    counters: dict[str, int] = Field(default={})
    at_signal: dict[str, int] = Field(default={})


class SuiteDone(Written):
    """All checks ended; the numbers of checks by result."""

    event: Literal["done"] = "done"
    passed: int
    failed: int
    skipped: int


class SuiteFailure(Written):
    """The suite cannot go on."""

    event: Literal["failure"] = "failure"
    code: str
    text: Told


SuiteEvent = (
    Hello
    | SuiteReady
    | StartServer
    | RestartServer
    | TurnAsked
    | TurnOver
    | CheckEnded
    | Expected
    | SuiteDone
    | SuiteFailure
)
_ADAPTER: TypeAdapter[SuiteEvent] = TypeAdapter(Annotated[SuiteEvent, Field(discriminator="event")])


def parse(line: Mapping[str, object]) -> SuiteEvent:
    """Read one event. Raises EventError that names the key."""
    try:
        return _ADAPTER.validate_python(line)
    except ValidationError as error:
        raise EventError(complaint(error, "an event of the suite")) from None
