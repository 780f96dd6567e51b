"""The specification of a trial for its load: `C10K_TRIAL`, written by a campaign or a drive.

Rule 1: whatever is wrong with the text is found here, named by its path in the JSON, before
anything is opened, written or started.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from harness.contract.parsing import complaint

SCHEMA: Literal[1] = 1
VARIABLE = "C10K_TRIAL"

# A sysctl's name becomes a path below /proc/sys: nothing in it may climb out of there.
_SYSCTL_NAME = re.compile(r"^[a-z0-9_]+([./][A-Za-z0-9_-]+)+$")

# By how much the turns of a cell may be longer than planned, where its server needs longer ones.
STRETCH_MAX = 4

# How connections end in churn.
Closing = Literal["fin", "rst"]
# Where a server's processes are found (harness/host/server_processes.py).
Tree = Literal["keeper", "init", "namespace", "server"]
Text = Annotated[str, Field(min_length=1)]
Cpus = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class TrialError(ValueError):
    """The trial's JSON is not what this process understands. The message names the key."""


@dataclass(frozen=True, config=_STRICT)
class Cell:
    """One point to measure. `rate_per_s` is None in a closed loop; a ramp has no window.

    `rate_share` is of the server's capacity; `rate_per_s` is then None until that is known.
    `closing` is how connections end in churn, which makes a new one for each message. `turns`: in
    how many parts the window comes, where trials run side by side.
    """

    scenario: Text
    connections: Count
    active: Annotated[int, Field(ge=0)]
    payload_bytes: Count
    depth: Count
    rate_per_s: Annotated[float, Field(gt=0)] | None
    warmup_s: Seconds
    window_s: Seconds
    rate_share: float | None = None
    closing: Closing | None = None
    turns: Count = 1

    @property
    def label(self) -> str:
        """`idle at 10,000`."""
        return f"{self.scenario} at {self.connections:,}"

    @property
    def is_resolved(self) -> bool:
        """Whether its rate, where it has one, is known."""
        return self.rate_share is None or self.rate_per_s is not None

    @property
    def is_ramp(self) -> bool:
        """Whether the cell is the opening of the connections itself."""
        return self.window_s == 0


@dataclass(frozen=True, config=_STRICT)
class Step:
    """Cells that share their open connections; it starts from zero connections."""

    connections: Count
    cells: tuple[Cell, ...]


@dataclass(frozen=True, config=_STRICT)
class PlacedCell(Cell):
    """A cell with its place in its trial, from 0."""

    index: Annotated[int, Field(ge=0)] = field(kw_only=True)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.closing and (self.depth > 1 or self.rate_per_s):
            raise ValueError("closing takes neither a depth nor a rate")
        if self.active > self.connections:
            raise ValueError(f"active is more than the {self.connections} open connections")
        if not self.is_ramp and self.active == 0:
            raise ValueError("active must be at least 1 in a cell with a window")
        return self


@dataclass(frozen=True, config=_STRICT)
class PlacedStep(Step):
    """A step whose cells have their places."""

    cells: Annotated[tuple[PlacedCell, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if any(cell.is_ramp for cell in self.cells[1:]):
            raise ValueError("a cell has no window: only a step's first cell may be a ramp")
        if any(cell.connections != self.connections for cell in self.cells):
            raise ValueError(f"a cell's connections are not its step's: {self.connections}")
        return self

    @property
    def opening(self) -> PlacedCell | None:
        """The cell that is the ramp itself, where the plan asks for its figures."""
        return self.cells[0] if self.cells[0].is_ramp else None

    @property
    def traffic(self) -> tuple[PlacedCell, ...]:
        """The cells with a window, in their order."""
        return tuple(cell for cell in self.cells if not cell.is_ramp)


@dataclass(frozen=True, config=_STRICT)
class Timeouts:
    """How long each wait may last, in seconds."""

    ready_s: Seconds
    connect_s: Seconds
    settle_s: Seconds
    stop_s: Seconds


@dataclass(frozen=True, config=_STRICT)
class Ceiling:
    """A wall that the server declares: what it holds, what the next client sees, and why."""

    connections_max: Count
    beyond: str | None
    reason: str | None


class TrialSpec(BaseModel):
    """One fresh server process, taken through all the steps once.

    counters: it prints its own counters at SIGUSR1. xray: nothing is timed, its system calls are
    counted. unseen: it runs already, and its processes are not looked into. tree: where its
    processes are found (harness/host/server_processes.py). spin: the engines poll
    while a cell runs, where they may. side_by_side: others are under way, and load the CPUs in
    turns with this one. workers: of Locust, 0 for none but the load itself. sysctls: written in the
    network namespace that is prepared.
    """

    model_config = _STRICT | ConfigDict(frozen=True)

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    campaign: Text
    trial: Text
    variant: Text
    address: Text
    seed: Annotated[int, Field(ge=0)]
    server_cpus: Cpus
    load_cpus: Cpus
    workers: Annotated[int, Field(ge=0)]
    prepare_namespace: bool
    sysctls: dict[str, str]
    ceiling: Ceiling | None
    timeouts: Timeouts
    steps: Annotated[tuple[PlacedStep, ...], Field(min_length=1)]
    counters: bool = False
    xray: bool = False
    unseen: bool = False
    tree: Tree = "server"
    spin: bool = True
    side_by_side: bool = False

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        for name in self.sysctls:
            if not _SYSCTL_NAME.match(name):
                raise ValueError(f"{name!r} is not the name of a sysctl")
        if [cell.index for cell in self.cells] != list(range(len(self.cells))):
            raise ValueError("the cells are not counted through from 0")
        return self

    @property
    def cells(self) -> tuple[PlacedCell, ...]:
        """All cells in the order in which they run."""
        return tuple(cell for step in self.steps for cell in step.cells)

    @property
    def may_spin(self) -> bool:
        """Whether engines should poll and each has a CPU of its own: no server is measured on it,
        and no server is traced from it.

        A generator that sleeps between messages is woken late, the later where a hypervisor has to
        wake the CPU first: by as much as many a latency that it is to measure. And on loopback who
        sends to a sleeper pays for waking it: a server's CPU time per echo would depend on how
        often its client found nothing to do.
        """
        is_shared = self.unseen or not set(self.load_cpus).isdisjoint(self.server_cpus)
        is_free = not is_shared and not self.xray and max(self.workers, 1) <= len(self.load_cpus)
        return self.spin and is_free

    @property
    def churns(self) -> bool:
        """Whether any cell makes and ends connections all the time."""
        return any(cell.closing for cell in self.cells)

    @property
    def connections_max(self) -> int:
        """The most connections that any step asks for."""
        return max(step.connections for step in self.steps)

    def variables(self) -> dict[str, str]:
        """Return the environment that holds the specification."""
        return {VARIABLE: self.model_dump_json(by_alias=True)}


def parse(text: str) -> TrialSpec:
    """Read one trial. Raises TrialError that names the key and what was expected."""
    try:
        return TrialSpec.model_validate_json(text)
    except ValidationError as error:
        raise TrialError(complaint(error, VARIABLE)) from None


def placed(steps: Iterable[Step], *, in_turns: bool) -> tuple[PlacedStep, ...]:
    """The steps of a plan with their cells counted through; one turn each where not `in_turns`."""
    index = 0
    found = []
    for step in steps:
        cells = []
        for cell in step.cells:
            changed = {"index": index, "turns": cell.turns if in_turns else 1}
            cells.append(PlacedCell(**(asdict(cell) | changed)))
            index += 1
        found.append(PlacedStep(step.connections, tuple(cells)))
    return tuple(found)
