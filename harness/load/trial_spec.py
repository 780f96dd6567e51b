"""The trial that this process conducts, parsed from `C10K_TRIAL`.

Rule 1: whatever is wrong with the text is found here, named by its path in the JSON, before
anything is opened, written or started.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from harness.host.server_processes import Tree

SCHEMA = 1
VARIABLE = "C10K_TRIAL"

# A sysctl's name becomes a path below /proc/sys: nothing in it may climb out of there.
_SYSCTL_NAME = re.compile(r"^[a-z0-9_]+([./][A-Za-z0-9_-]+)+$")

# By how much the turns of a cell may be longer than planned, where its server needs longer ones.
STRETCH_MAX = 4

_REQUIRED = object()


class TrialError(ValueError):
    """The trial's JSON is not what this process understands. The message names the key."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One point to measure. `rate_per_s` is None in a closed loop; a ramp has no window.

    `turns` is in how many parts the window comes; 1 where no trial is beside this one.
    """

    index: int
    scenario: str
    connections: int
    active: int
    payload_bytes: int
    depth: int
    rate_per_s: float | None
    warmup_s: float
    window_s: float
    closing: Literal["fin", "rst"] | None = None  # churn
    turns: int = 1

    @property
    def is_ramp(self) -> bool:
        """Whether the cell is the opening of the connections itself."""
        return self.window_s == 0


@dataclass(frozen=True, slots=True)
class Step:
    """Cells that share their open connections; it starts from zero connections."""

    connections: int
    cells: tuple[Cell, ...]

    @property
    def opening(self) -> Cell | None:
        """The cell that is the ramp itself, where the plan asks for its figures."""
        return self.cells[0] if self.cells[0].is_ramp else None

    @property
    def traffic(self) -> tuple[Cell, ...]:
        """The cells with a window, in their order."""
        return tuple(cell for cell in self.cells if not cell.is_ramp)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each wait may last, in seconds."""

    ready_s: float
    connect_s: float
    settle_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A wall that the variant declares: what it holds, what the next client sees, and why."""

    connections_max: int
    beyond: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Trial:
    """One fresh server process, taken through all the steps once.

    counters: it prints its own counters at SIGUSR1. xray: nothing is timed, its system calls are
    counted. unseen: it runs already, and its processes are not looked into. tree: where its
    processes are found (harness/host/server_processes.py). spin: the engines poll
    while a cell runs, where they may. side_by_side: others are under way, and load the CPUs in
    turns with this one.
    """

    campaign: str
    trial: str
    variant: str
    address: str
    seed: int
    server_cpus: tuple[int, ...]
    load_cpus: tuple[int, ...]
    workers: int
    prepare_namespace: bool
    sysctls: dict[str, str]
    ceiling: Ceiling | None
    timeouts: Timeouts
    steps: tuple[Step, ...]
    counters: bool
    xray: bool
    unseen: bool
    tree: Tree
    spin: bool
    side_by_side: bool

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells in the order in which they run."""
        return tuple(cell for step in self.steps for cell in step.cells)

    @property
    def may_spin(self) -> bool:
        """Whether engines are to poll, and each has a CPU that nobody else needs: none to measure
        a server on, none to trace one from.

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


def parse(text: str) -> Trial:
    """Read one trial. Raises TrialError that names the key and what was expected."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise TrialError(f"{VARIABLE} is not JSON: {error}") from None
    top = _Node(value, VARIABLE)
    schema = top.integer("schema", least=0)
    if schema != SCHEMA:
        raise TrialError(f"{VARIABLE}.schema is {schema}; this load speaks schema {SCHEMA}")
    side_by_side = top.flag("side_by_side")
    steps = _steps(top, in_turns=side_by_side)
    return Trial(
        campaign=top.text("campaign"),
        trial=top.text("trial"),
        variant=top.text("variant"),
        address=top.text("address"),
        seed=top.integer("seed", least=0),
        server_cpus=top.cpus("server_cpus"),
        load_cpus=top.cpus("load_cpus"),
        workers=top.integer("workers", least=0),
        prepare_namespace=top.boolean("prepare_namespace"),
        sysctls=_sysctls(top),
        ceiling=_ceiling(top),
        timeouts=_timeouts(top.node("timeouts")),
        steps=steps,
        counters=top.flag("counters"),
        xray=top.flag("xray"),
        unseen=top.flag("unseen"),
        tree=top.choice("tree", get_args(Tree)) or "server",
        spin=top.flag("spin", default=True),
        side_by_side=side_by_side,
    )


def _steps(top: _Node, *, in_turns: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    index = 0
    for node in top.nodes("steps"):
        connections = node.integer("connections", least=1)
        cells = []
        for cell in node.nodes("cells"):
            cells.append(_cell(cell, index, connections, in_turns=in_turns))
            if cells[-1].is_ramp and len(cells) > 1:
                raise TrialError(
                    f"{cell.path} has no window: only a step's first cell may be a ramp"
                )
            index += 1
        steps.append(Step(connections, tuple(cells)))
    return tuple(steps)


def _cell(node: _Node, index: int, connections: int, *, in_turns: bool) -> Cell:
    cell = Cell(
        index=index,
        scenario=node.text("scenario"),
        connections=node.integer("connections", least=1),
        active=node.integer("active", least=0),
        payload_bytes=node.integer("payload_bytes", least=1),
        depth=node.integer("depth", least=1),
        rate_per_s=node.number("rate_per_s", least=0.0, nullable=True) or None,
        warmup_s=node.seconds("warmup_s"),
        window_s=node.seconds("window_s"),
        closing=node.choice("closing", ("fin", "rst")),
        turns=node.integer("turns", least=1) if in_turns and node.value("turns", 0) else 1,
    )
    if cell.closing and (cell.depth > 1 or cell.rate_per_s):
        raise TrialError(f"{node.path}.closing takes neither a depth nor a rate")
    if cell.connections != connections:
        raise TrialError(f"{node.path}.connections is not its step's: {connections}")
    if cell.active > connections:
        raise TrialError(f"{node.path}.active is more than the {connections} open connections")
    if not cell.is_ramp and cell.active == 0:
        raise TrialError(f"{node.path}.active must be at least 1 in a cell with a window")
    return cell


def _sysctls(top: _Node) -> dict[str, str]:
    sysctls = top.value("sysctls", {})
    if not isinstance(sysctls, dict):
        raise TrialError(f"{top.path}.sysctls must be an object")
    for name, value in sysctls.items():
        if not _SYSCTL_NAME.match(name):
            raise TrialError(f"{top.path}.sysctls: {name!r} is not the name of a sysctl")
        if not isinstance(value, str):
            raise TrialError(f"{top.path}.sysctls.{name} must be a text")
    return dict(sysctls)


def _ceiling(top: _Node) -> Ceiling | None:
    connections_max = top.value("connections_max", None)
    if connections_max is None:
        return None
    return Ceiling(
        connections_max=top.integer("connections_max", least=1),
        beyond=top.text("beyond", nullable=True),
        reason=top.text("reason", nullable=True),
    )


def _timeouts(node: _Node) -> Timeouts:
    return Timeouts(
        ready_s=node.seconds("ready_s"),
        connect_s=node.seconds("connect_s"),
        settle_s=node.seconds("settle_s"),
        stop_s=node.seconds("stop_s"),
    )


class _Node:
    """One JSON object with its path, so that every complaint can say where."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise TrialError(f"{path} must be an object, not {_kind(value)}")
        self._members: dict[str, Any] = value
        self.path = path

    def value(self, key: str, default: Any = _REQUIRED) -> Any:
        """The raw member; `default` when it is absent."""
        if key not in self._members:
            if default is _REQUIRED:
                raise TrialError(f"{self.path}.{key} is missing")
            return default
        return self._members[key]

    def text(self, key: str, *, nullable: bool = False) -> Any:
        """A text; None or absent only where `nullable`."""
        value = self.value(key, None if nullable else _REQUIRED)
        if value is None and nullable:
            return None
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "a text", value)
        return value

    def choice(self, key: str, known: Sequence[str]) -> Any:
        """One of the known texts; None when it is null or absent."""
        value = self.value(key, None)
        if value is not None and value not in known:
            raise self._wrong(key, " or ".join(known), value)
        return value

    def boolean(self, key: str) -> bool:
        """True or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false; `default` when it is absent."""
        return self.boolean(key) if self.value(key, None) is not None else default

    def integer(self, key: str, *, least: int) -> int:
        """A whole number of at least `least`."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._wrong(key, f"a whole number >= {least}", value)
        return value

    def number(self, key: str, *, least: float, nullable: bool = False) -> float | None:
        """A number of at least `least`; None only where `nullable`."""
        value = self.value(key)
        if value is None and nullable:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            raise self._wrong(key, f"a number >= {least:g}", value)
        return float(value)

    def seconds(self, key: str) -> float:
        """A duration in seconds, zero included."""
        return self.number(key, least=0.0) or 0.0

    def cpus(self, key: str) -> tuple[int, ...]:
        """A list of CPU numbers with at least one member."""
        value = self.value(key)
        good = isinstance(value, list) and bool(value)
        if not good or not all(isinstance(cpu, int) and cpu >= 0 for cpu in value):
            raise self._wrong(key, "a list of CPU numbers", value)
        return tuple(value)

    def node(self, key: str) -> _Node:
        """A member that is itself an object."""
        return _Node(self.value(key), f"{self.path}.{key}")

    def nodes(self, key: str) -> list[_Node]:
        """A list of objects with at least one member."""
        value = self.value(key)
        if not isinstance(value, list) or not value:
            raise self._wrong(key, "a list with at least one member", value)
        return [_Node(member, f"{self.path}.{key}[{i}]") for i, member in enumerate(value)]

    def _wrong(self, key: str, expected: str, value: Any) -> TrialError:
        return TrialError(f"{self.path}.{key} must be {expected}, not {_kind(value)}")


def _kind(value: Any) -> str:
    return json.dumps(value)[:40]
