"""`campaign.json`, the head of a campaign: what ran, on which host, and how it ended.

The campaign makes it from these models, and `harness/store/` reads and writes the file. An earlier
version wrote fewer keys. A later one may write more, which stay in the file. A reader relies on
some keys (lists, names, counts): a wrong type there means that the file is damaged. Any other key
with a wrong type reads as null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

BLOCKS_MAX = 10_000


def _or_null(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError:
        return None


_OrNull = WrapValidator(_or_null)
Text = Annotated[str | None, _OrNull]
Whole = Annotated[int | None, _OrNull]
Number = Annotated[float | None, _OrNull]
Flag = Annotated[bool | None, _OrNull]
Texts = Annotated[list[str] | None, _OrNull]
Table = dict[str, object]


class Kept(BaseModel):
    """A table of `campaign.json`. Other keys than these may be anything, and are kept."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    def as_json(self) -> dict[str, Any]:
        """Return the keys that were set, as they lie in the file."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def changed(self, **members: object) -> Self:
        """Return a copy with other members, all checked. Raises ValidationError."""
        return type(self).model_validate(self.as_json() | members)


class PlannedCell(Kept):
    """A cell of the plan."""

    scenario: Text = None
    connections: Whole = Field(default=None, description="open connections")
    active: Whole = Field(default=None, description="connections that send")
    payload_bytes: Whole = None
    depth: Whole = Field(default=None, description="messages in flight on each active connection")
    rate_per_s: Number = Field(default=None, description="offered messages; null: closed loop")
    warmup_s: Number = None
    window_s: Number = Field(default=None, description="0 for a ramp")
    rate_share: Number = Field(default=None, description="offered share of the server's capacity")
    closing: Text = Field(default=None, description="how connections end in churn: `fin` or `rst`")
    turns: Whole = Field(default=None, description="number of parts of the window")


class PlannedSteps(Kept):
    """Cells that share their open connections."""

    connections: Whole = None
    cells: list[PlannedCell]


class PlannedTrial(Kept):
    """A trial of the plan."""

    id: str
    block: int = Field(ge=0, le=BLOCKS_MAX, description="from 1; 0 measures capacities")
    variant: str = Field(description="the server")
    seed: Whole = None
    steps: list[PlannedSteps]
    wave: Whole = Field(default=None, description="from 1; 0 without waves")


class KeptCheck(Kept):
    """A conformance check that did not pass."""

    id: str
    title: Text = None
    text: str = Field(description="what the check saw")
    explanation: Text = Field(default=None, description="the bug that it points at")


class KeptConformance(Kept):
    """The result of the conformance suite for a server."""

    passed: Whole = Field(default=None, description="checks that passed")
    applicable: Whole = Field(default=None, description="checks that apply to the server")
    subset: Text = Field(default=None, description="`quick` or `full`")
    failures: list[KeptCheck] = []
    undecided: list[KeptCheck] = Field(
        default=[], description="failed while other processes used the server's CPUs"
    )
    cached: Flag = Field(default=None, description="whether an earlier run found it")


class ServerEntry(Kept):
    """A server of the campaign, or the one that runs twice under its second name."""

    name: str
    title: str = ""
    architecture: Text = None
    language: Text = None
    family: Text = None
    workers: Whole = Field(default=None, description="threads or processes that serve")
    status: Text = Field(default=None, description="of its `variant.toml`")
    summary: Text = None
    counters: Flag = Field(default=None, description="whether it prints counters of its own")
    limits: Table | None = Field(default=None, description="the ceiling that it declares")
    digest: Text = Field(default=None, description="of its sources")
    same_as: str | None = Field(default=None, description="the server that runs twice")
    image: Text = Field(default=None, description="digest of what was built; null: nothing was")
    runtime: Text = Field(default=None, description="what `--version` printed")
    build: Text = Field(default=None, description="compiler and flags")
    outputs: Texts = Field(default=None, description="files that its build wrote into its sources")
    conformance: KeptConformance | None = None


class KeptOthers(Kept):
    """CPU time of other programs during the trials."""

    model_config = ConfigDict(extra="forbid")

    view: str = Field(description="which processes the harness could see")
    span_s: float = Field(description="how long the harness watched")
    cpu_s: dict[str, float] = Field(default={}, description="{name: CPU time}")
    server_share: float | None = Field(
        default=None, description="share of the servers' CPUs that other programs used, 0 to 1"
    )


class KeptFinding(Kept):
    """What one check of the doctor found."""

    check: Text = None
    level: str = Field(description="`ok`, `warning` or `failure`")
    text: Text = None
    value: Text = None
    needed: Text = None
    scope: Text = None
    connections_max: Whole = None


class KeptDoctor(Kept):
    """Whether the host is fit, as `c10k doctor --format json` prints it."""

    connections: Whole = Field(default=None, description="number asked for")
    backend: Text = None
    ready: Flag = None
    connections_max: Whole = Field(default=None, description="number that the host can hold")
    connections_bound_by: Text = Field(default=None, description="the check with the least limit")
    threads_max: Whole = None
    threads_bound_by: Text = Field(default=None, description="the check with the least limit")
    findings: list[KeptFinding] = []


class KeptSelftest(Kept):
    """One self-test of the load generator."""

    after_block: int | None = Field(default=None, description="the block before it; 0: none")
    passed: bool = False
    duration_s: float | None = None
    checks: list[Table] = Field(default=[], description="what each check observed, and its bound")
    figures: Table | None = Field(default=None, description="{scene: its figures}")
    earlier: list[KeptSelftest] = Field(default=[], description="all self-tests before it")


class KeptWaves(Kept):
    """The division of a block's servers into waves."""

    anchor: str = Field(description="the server in every wave")
    members: list[Annotated[list[str], Field(min_length=1)]] = Field(
        min_length=1, description="the other servers of each wave"
    )
    because: list[str] | None = Field(default=None, description="what all servers would exceed")


class CampaignHead(Kept):
    """`campaign.json`."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    campaign: str = Field(default="", description="its name, which is its directory's")
    created_utc: Text = Field(default=None, description="ISO 8601")
    state: str = Field(
        default="", description="`running`, `done`, `interrupted`, `stopped` or `failed`"
    )
    profile: Table = Field(default={}, description="`name`, and the keys of the profile's TOML")
    seed: Whole = None
    argv: list[str] = Field(default=[], description="arguments of the command")
    workers: Whole = Field(default=None, description="Locust workers; 0: the load alone")
    budget_s: Number = Field(default=None, description="time asked for; null: not bounded")
    backend: Text = Field(default=None, description="`docker` or `process`")
    isolated: Flag = Field(default=None, description="trials have their own network namespace")
    environment: Table = Field(default={}, description="facts of host, backend and harness")
    variants: list[ServerEntry] = Field(default=[], description="the servers")
    waves: KeptWaves | None = Field(default=None, description="null: all servers run together")
    plan: list[PlannedTrial] = []
    xray_plan: list[PlannedTrial] = Field(
        default=[], description="trials that count system calls only"
    )
    doctor: KeptDoctor | None = None
    selftest: KeptSelftest | None = Field(default=None, description="the latest")
    others: KeptOthers | None = None
    capacities: dict[str, list[Table]] | None = Field(
        default=None, description="{server: what block 0 measured}"
    )

    @property
    def blocks(self) -> int:
        """Number of blocks in the plan, block 0 not counted."""
        return max((trial.block for trial in self.plan), default=0)

    @classmethod
    def of(cls, document: Mapping[str, object]) -> CampaignHead:
        """Read the document of the file. Raises ValidationError that names the key."""
        return cls.model_validate(document)
