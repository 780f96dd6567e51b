"""The events that the load of a trial sends to the harness: one line of JSON each on stdout.

Written by the load as these models, parsed by the harness into them in `parse` alone. `hello` wants
the server started; `turn`, `sample`, `account` and `spent` want a reply; `done` or `failure` is the
last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.contract.campaign_lines import CallFigures, Totals
from harness.contract.cell_record import (
    CeilingFigures,
    CellFigures,
    CountersAsked,
    MemoryFigures,
    Numbers,
    Pair,
    Told,
    WaitFigures,
    Written,
)
from harness.contract.parsing import complaint


class EventError(ValueError):
    """A line is no event of a load. The message names the event and the key."""


class GrantedFiles(Written):
    """What the load is granted: soft and hard limit."""

    nofile: Pair


class Hello(Written):
    """The load is up, with what holds in it."""

    event: Literal["hello"] = "hello"
    pid: int
    limits: GrantedFiles
    sysctls: dict[str, str | None]
    cpus: Numbers
    versions: dict[str, str]


class SeenServer(Written):
    """The server's processes and the limits read back from them."""

    pids: Numbers
    keeper: int | None
    nofile: Pair
    processes: Pair
    pids_max: int | None
    cpus: Numbers
    uid: int
    pid1: bool


class Ready(Written):
    """The server echoes. `server` is None where its processes are not looked into."""

    event: Literal["ready"] = "ready"
    ready_s: float
    server: SeenServer | None
    baseline: MemoryFigures | None


class Turn(Written):
    """Ask the harness to run the other trials' turns; this trial's next turn is of this cell."""

    event: Literal["turn"] = "turn"
    cell: int


class Sample(Written):
    """Ask the harness to read the server's control group; -1 is before all cells."""

    event: Literal["sample"] = "sample"
    cell: int


class Account(Written):
    """Ask the harness what the kernel charged the server, read once it is idle."""

    event: Literal["account"] = "account"
    cell: int


class SpentAsked(Written):
    """Ask the harness for the CPU time of the server and of its CPUs so far."""

    event: Literal["spent"] = "spent"


class ProgressTold(Written):
    """What happens right now, for a person who watches."""

    event: Literal["progress"] = "progress"
    cell: int
    of: int
    scenario: str
    connections: int
    established: int
    echoes_per_s: float
    latency_p99_us: int | None


class CellMeasured(CellFigures):
    """A cell that ended, well or not."""

    event: Literal["cell"] = "cell"
    counters_asked: CountersAsked | None
    capped: CeilingFigures | None


class CallsCounted(CallFigures):
    """A cell whose system calls were counted, or could not be."""

    event: Literal["xray"] = "xray"


class Done(Written):
    """All steps are through. `totals` are None where they are not exact."""

    event: Literal["done"] = "done"
    totals: Totals | None


class TrialFailure(Written):
    """The trial cannot go on."""

    event: Literal["failure"] = "failure"
    code: str
    text: Told
    wait: WaitFigures | None = None


LoadEvent = (
    Hello
    | Ready
    | Turn
    | Sample
    | Account
    | SpentAsked
    | ProgressTold
    | CellMeasured
    | CallsCounted
    | Done
    | TrialFailure
)
_ADAPTER: TypeAdapter[LoadEvent] = TypeAdapter(Annotated[LoadEvent, Field(discriminator="event")])


def parse(line: Mapping[str, Any]) -> LoadEvent:
    """Read one event. Raises EventError that names it."""
    try:
        return _ADAPTER.validate_python(line)
    except ValidationError as error:
        raise EventError(complaint(error, "an event of the load")) from None
