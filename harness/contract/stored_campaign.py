"""Read `campaign.json`, `outcomes.jsonl` and `xray.jsonl` of any version, for gates and reports.

Rule: reading never fails, as in stored_cell.py. A key that is missing, or whose value has another
type than expected, was not observed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from harness.contract.record import VariantFacts
from harness.contract.stored_cell import (
    AsTable,
    AsTableOrNone,
    Count,
    Flag,
    Name,
    Number,
    Numbers,
    Ordinal,
    Stored,
    Text,
)

# The scope that shows other programs: all processes of the host, its control groups, or neither.
View = Literal["processes", "groups", "nothing"]
# The self-test parts that a report depends on.
Part = Literal["ranking", "latency"]


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _tables(value: object) -> list[object]:
    return [one for one in _list(value) if isinstance(one, Mapping | Stored)]


def _counts(value: object) -> tuple[int, ...]:
    return tuple(one for one in _list(value) if isinstance(one, int))


def _whole(value: object) -> int | None:
    return None if isinstance(value, bool) or not isinstance(value, int) else value


def _workers(value: object) -> str:
    return str(value or 1)


def _is_not_false(value: object) -> bool:
    return value is not False


def _view(value: object) -> object:
    return value if value in get_args(View) else "nothing"


def _part(value: object) -> object:
    return value if value in get_args(Part) else "ranking"


def _object(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}


def _span_s(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _known(value: object) -> object:
    """An empty table says nothing."""
    return value or None


AsTables = BeforeValidator(_tables)
Whole = Annotated[int | None, BeforeValidator(_whole)]
# Its keys and values may be anything: it is only compared, or shown.
Table = Annotated[dict[str, object], BeforeValidator(_object)]


class StoredOutcome(Stored):
    """A line of `outcomes.jsonl`, as far as gates and the analysis ask."""

    trial: Name = ""
    variant: Name = ""
    block: Count = 0
    attempt: Ordinal = 1
    outcome: Name = ""
    code: Name = ""
    text: Name = ""
    log_tail: Name = ""
    repeats: Annotated[tuple[int, ...], BeforeValidator(_counts)] = ()


class StoredXray(Stored):
    """A line of `xray.jsonl`, as far as the analysis asks."""

    variant: Name = ""
    connections_requested: Number = None
    payload_bytes: Number = None
    echoes: Number = None
    syscalls: Numbers = Field(default_factory=dict)
    tool: Text = None


class StoredLimits(Stored):
    """Limits that a server declares."""

    connections_max: Whole = None
    reason: Text = None


class StoredConformance(Stored):
    """Checks of the contract without a pass."""

    failures: Annotated[tuple[object, ...], BeforeValidator(_list)] = ()
    undecided: Annotated[tuple[object, ...], BeforeValidator(_list)] = ()


class StoredVariant(Stored):
    """One server of the campaign.

    Attributes:
        workers: its width, as text.
        same_as: the server of which this is the second run.
    """

    name: Name = ""
    architecture: Text = None
    family: Text = None
    language: Text = None
    status: Text = None
    same_as: Name = ""
    workers: Annotated[str, BeforeValidator(_workers)] = "1"
    digest: Name = ""
    image: Name = ""
    build: Name = ""
    limits: Annotated[StoredLimits, AsTable] = StoredLimits()
    conformance: Annotated[StoredConformance, AsTable] = StoredConformance()

    @property
    def facts(self) -> VariantFacts:
        """The facts that gates depend on."""
        return VariantFacts(self.limits.connections_max, self.limits.reason or "")

    @property
    def is_nonconforming(self) -> bool:
        """Whether a check failed or has no decision."""
        return bool(self.conformance.failures or self.conformance.undecided)


class StoredPlannedCell(Stored):
    """One cell of the plan."""

    scenario: Text = None
    connections: Number = None
    active: Number = None
    payload_bytes: Number = None
    depth: Number = None
    rate_per_s: Number = None
    rate_share: Number = None
    closing: Text = None


class StoredStep(Stored):
    """Cells of the plan that share their open connections."""

    cells: Annotated[tuple[StoredPlannedCell, ...], AsTables] = ()


class StoredTrial(Stored):
    """One trial of the plan."""

    id: Name = ""
    variant: Name = ""
    block: Count = 0
    wave: Count = 0
    steps: Annotated[tuple[StoredStep, ...], AsTables] = ()

    @property
    def cells(self) -> tuple[StoredPlannedCell, ...]:
        """Its cells, in the order in which they run."""
        return tuple(cell for step in self.steps for cell in step.cells)


class StoredProfile(Stored):
    """The profile. Most of its values are only compared between campaigns."""

    name: Text = None
    ranked: Annotated[bool, BeforeValidator(_is_not_false)] = True
    trials: Whole = None
    server_cpus: object = None
    side_by_side: object = False  # campaigns of before it did not have the key
    timing: object = None
    traffic: object = None
    scenarios: Annotated[tuple[dict[str, object], ...], AsTables] = ()

    @property
    def title(self) -> str:
        """The profile's name; for a profile from a file, the file name without its suffix."""
        return PurePath(self.name).stem if self.name else "unnamed"


class StoredCheck(Stored):
    """One check of a self-test."""

    title: Text = None
    observed: Text = None
    bound: Text = None
    verdict: Text = None
    # Earlier versions had no parts: a failed check took the ranking away.
    proves: Annotated[Part, BeforeValidator(_part)] = "ranking"


class StoredBacklog(Stored):
    """The kernel's listener in the self-test: what it admitted, with which backlog."""

    backlog: Number = None
    tried: Number = None
    admitted: Number = None
    late: Number = None
    waited_s: Number = None


class StoredScenes(Stored):
    """The figures of a self-test that the analysis reads."""

    backlog: Annotated[StoredBacklog | None, AsTableOrNone] = None


class StoredSelftest(Stored):
    """One self-test of the load generator.

    Attributes:
        after_block: the block after which it ran; None in campaigns of before this key.
        earlier: the self-tests before it, in their order.
    """

    passed: Flag = False
    after_block: Whole = None
    duration_s: Number = None
    checks: Annotated[tuple[StoredCheck, ...], AsTables] = ()
    figures: Annotated[StoredScenes, AsTable] = StoredScenes()
    earlier: Annotated[tuple[StoredSelftest, ...], AsTables] = ()


class StoredOthers(Stored):
    """CPU time of other programs: `others`."""

    view: Annotated[View, BeforeValidator(_view)] = "nothing"
    span_s: Annotated[float, BeforeValidator(_span_s)] = 0.0
    cpu_s: Numbers = Field(default_factory=dict)
    server_share: Number = None


class StoredWaves(Stored):
    """The division of each block into waves."""

    anchor: Name = ""


class StoredHead(Stored):
    """`campaign.json`, as far as gates and the analysis ask.

    Attributes:
        xray: lines of `xray.jsonl`, which a report adds.
    """

    campaign: Name = ""
    state: Name = ""
    profile: Annotated[StoredProfile, AsTable] = StoredProfile()
    workers: object = None
    isolated: object = None
    environment: Table = Field(default_factory=dict)
    variants: Annotated[tuple[StoredVariant, ...], AsTables] = ()
    plan: Annotated[tuple[StoredTrial, ...], AsTables] = ()
    selftest: Annotated[StoredSelftest | None, AsTableOrNone, BeforeValidator(_known)] = None
    others: Annotated[StoredOthers | None, AsTableOrNone, BeforeValidator(_known)] = None
    waves: Annotated[StoredWaves | None, AsTableOrNone, BeforeValidator(_known)] = None
    xray: Annotated[tuple[StoredXray, ...], AsTables] = ()

    @property
    def planned_blocks(self) -> frozenset[int]:
        """The blocks of the plan that rank: without the one that measures capacities."""
        return frozenset(trial.block for trial in self.plan) - {0}

    @property
    def facts(self) -> dict[str, VariantFacts]:
        """{server: its facts}."""
        return {variant.name: variant.facts for variant in self.variants}
