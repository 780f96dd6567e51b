"""A line of `trials.jsonl` as gates and reports read it, whichever version wrote it.

Rule: reading never fails. A key that is missing, or that holds something else than it should, was
not observed: it is None, and of a table all members are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict

from harness.contract.statuses import FailureCode

PAIR = 2


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _table(value: object) -> object:
    return value if isinstance(value, Mapping | BaseModel) else {}


def _table_or_none(value: object) -> object:
    return value if isinstance(value, Mapping | BaseModel) else None


def _numbers(value: object) -> dict[str, float]:
    members = value.items() if isinstance(value, Mapping) else ()
    return {str(key): found for key, one in members if (found := _number(one)) is not None}


def _rates(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list | tuple):
        return None
    found = tuple(number for one in value if (number := _number(one)) is not None)
    return found if len(found) == len(value) else None


def _flag(value: object) -> bool:
    return value is True


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return int(_number(value) or 0)


def _ordinal(value: object) -> int:
    return int(_number(value) or 1)


def _pairs(value: object) -> list[Sequence[object]]:
    rows = value if isinstance(value, list | tuple) else ()
    return [one for one in rows if isinstance(one, list | tuple) and len(one) == PAIR]


def _reasons(value: object) -> tuple[tuple[str, str], ...]:
    return tuple((str(code), str(text)) for code, text in _pairs(value))


def _points(value: object) -> tuple[tuple[float, float], ...]:
    known = ((_number(x), _number(y)) for x, y in _pairs(value))
    return tuple((x, y) for x, y in known if x is not None and y is not None)


Number = Annotated[float | None, BeforeValidator(_number)]
Text = Annotated[str | None, BeforeValidator(_text)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Numbers = Annotated[dict[str, float], BeforeValidator(_numbers)]
Rates = Annotated[tuple[float, ...] | None, BeforeValidator(_rates)]
Name = Annotated[str, BeforeValidator(_name)]
# From 0 and from 1; these are what a missing one counts as.
Count = Annotated[int, BeforeValidator(_count)]
Ordinal = Annotated[int, BeforeValidator(_ordinal)]
Reasons = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_reasons)]
Points = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_points)]
AsTable = BeforeValidator(_table)
AsTableOrNone = BeforeValidator(_table_or_none)


class Stored(BaseModel):
    """A table of a line. Other keys than these may be anything."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Self:
        """Read a line of a file, or a table of one."""
        return cls.model_validate(document)


class StoredPercentiles(Stored):
    """Of a distribution, in microseconds."""

    count: Number = None
    mean: Number = None
    p50: Number = None
    p99: Number = None


class StoredCharged(Stored):
    """What the kernel charged the server; its keys are those of `Charged` in cell_record.py."""

    source: Text = None
    cpu_ns: Number = None
    exact_ns: Number = None
    outside_ns: Number = None
    processes_ns: Number = None
    processes_exact_ns: Number = None
    echoes: Number = None
    span_ns: Number = None
    cpus: Number = None
    busy_ns: Number = None
    busy_source: Text = None
    busy_exact_ns: Number = None
    host_busy_ns: Number = None
    host_exact_ns: Number = None
    others_ns: Number = None
    loses_children: Flag = False


class StoredSide(Stored):
    """The CPUs of the server, or of the load."""

    stat_ticks: Numbers = {}
    cpu_ns: Number = None
    cpu_busy: Number = None
    interval_ns: Number = None
    run_wait_ns: Number = None


class StoredSwitches(Stored):
    """Context switches of the server's tasks."""

    voluntary: Number = None
    involuntary: Number = None
    interval_s: Number = None


class StoredServer(StoredSide):
    """The server's processes."""

    restarts: Number = None
    threads: Number = None
    switches: Annotated[StoredSwitches, AsTable] = StoredSwitches()
    counters: Numbers = {}
    memory_bytes: Numbers = {}
    memory_baseline_bytes: Numbers = {}
    charged: Annotated[StoredCharged, AsTable] = StoredCharged()


class StoredGenerator(StoredSide):
    """The load."""

    useful_busy: Number = None
    send_lag_us: Annotated[StoredPercentiles, AsTable] = StoredPercentiles()
    missed_sends: Number = None
    little_outstanding: Number = None
    workers: Number = None


class StoredRamp(Stored):
    """The opening of the connections."""

    established: Number = None
    failed: Number = None
    time_to_n_s: Number = None
    timeline: Points = ()


class StoredChurn(Stored):
    """Cycles of connect, one echo and close."""

    failed: Number = None
    connect_us: Annotated[StoredPercentiles, AsTable] = StoredPercentiles()


class StoredHost(Stored):
    """What else happened on the host."""

    clock_step_ns: Number = None
    nr_throttled: Number = None


class StoredFailure(Stored):
    """Why the cell has no valid figures; no code where it has."""

    code: Text = None
    text: Text = None


class StoredWait(Stored):
    """How the CPU time went in a wait; no span where there was none."""

    span_ns: Number = None
    cpus: Number = None
    server_ns: Number = None
    busy_ns: Number = None
    steal_ns: Number = None
    load_wait_ns: Number = None
    exact_ns: Number = None


class StoredCell(Stored):
    """One cell, as far as gates and the analysis ask.

    Attributes:
        status, reasons: the verdict of the version that measured it.
    """

    variant: Name = ""
    block: Count = 0
    wave: Count = 0
    trial: Name = ""
    attempt: Ordinal = 1
    cell: Count = 0
    scenario: Text = None
    connections_requested: Number = None
    connections_established_min: Number = None
    active: Number = None
    payload_bytes: Number = None
    depth: Number = None
    rate_offered_per_s: Number = None
    rate_share: Number = None
    turns: Number = None
    closing: Text = None
    window_s: Number = None
    echoes: Number = None
    echoes_per_s: Number = None
    parts_per_s: Rates = None
    corrupt_bytes: Number = None
    lost: Number = None
    errors: Numbers = {}
    latency_us: Annotated[StoredPercentiles, AsTable] = StoredPercentiles()
    self_delay_us: Annotated[StoredPercentiles, AsTable] = StoredPercentiles()
    histogram: Text = None
    connect_us: Annotated[StoredPercentiles, AsTable] = StoredPercentiles()
    hello_us: Annotated[StoredPercentiles, AsTable] = StoredPercentiles()
    ramp: Annotated[StoredRamp, AsTable] = StoredRamp()
    churn: Annotated[StoredChurn, AsTable] = StoredChurn()
    server: Annotated[StoredServer, AsTable] = StoredServer()
    generator: Annotated[StoredGenerator, AsTable] = StoredGenerator()
    tcp: Numbers = {}
    host: Annotated[StoredHost, AsTable] = StoredHost()
    wait: Annotated[StoredWait, AsTable] = StoredWait()
    failure: Annotated[StoredFailure | None, AsTableOrNone] = None
    status: Text = None
    reasons: Reasons = ()

    @property
    def failure_code(self) -> str | None:
        """The code of its failure, or None when it has none."""
        return None if self.failure is None else str(self.failure.code)

    @property
    def is_finished(self) -> bool:
        """Whether it was measured to its end."""
        return self.failure is None

    @property
    def is_capped(self) -> bool:
        """Whether a declared ceiling stopped it."""
        return self.failure_code == FailureCode.CAPPED
