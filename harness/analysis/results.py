"""Define the results of the analysis: frozen values that findings and report are made from."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.intervals import Comparison, Estimate
from harness.analysis.looks import Looks
from harness.contract.statuses import CellStatus

MEMORY_KINDS = ("user", "stack", "kernel", "sockets")
STATUSES = tuple(CellStatus)
SCENARIO_ORDER = ("ramp", "idle", "active")


@dataclass(frozen=True, slots=True)
class CellKey:
    """A point of measurement, the same for all servers.

    Attributes:
        rate_offered_per_s: of an open loop whose rate all servers share.
        rate_share: of an open loop whose rate is this share of the server's own capacity; the cell
            has the rate itself, because each server has its own.
        closing: how connections end in churn; None if they stay open.
    """

    scenario: str
    connections: int
    active: int
    payload_bytes: int
    depth: int
    rate_offered_per_s: float | None
    rate_share: float | None = None
    closing: str | None = None

    @property
    def is_open_loop(self) -> bool:
        """Whether its messages left at a fixed rate."""
        return self.rate_offered_per_s is not None or self.rate_share is not None

    @property
    def order(self) -> tuple[int, str, int, int, int, int, float, float, str]:
        """The key for sorting: scenarios in the order of profiles, then by size."""
        known = self.scenario in SCENARIO_ORDER
        place = SCENARIO_ORDER.index(self.scenario) if known else len(SCENARIO_ORDER)
        return (
            place,
            self.scenario,
            self.connections,
            self.active,
            self.payload_bytes,
            self.depth,
            self.rate_offered_per_s or 0.0,
            self.rate_share or 0.0,
            self.closing or "",
        )


@dataclass(frozen=True, slots=True)
class Reason:
    """Why cells are not valid: a gate's code, one text of it, and the number of its trials."""

    code: str
    text: str
    trials: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in µs of the merged histogram; p999 is None below 10,000 values.

    Attributes:
        curve: `(1 / (1 - p), µs)` from the fastest outwards, as far as ten values lie beyond. Only
            open loops and the largest `idle` cell have one.
    """

    p50: float
    p90: float
    p99: float
    p999: float | None
    max: float
    count: int
    curve: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes per connection above the baseline, by kind; None if it was not observed."""

    user: float | None
    stack: float | None
    kernel: float | None
    sockets: float | None

    @property
    def total(self) -> float | None:
        """The sum of all kinds; None without user or kernel memory, because a part is no total."""
        if self.user is None or self.kernel is None:
            return None
        return sum(value for _, value in self.observed)

    @property
    def observed(self) -> tuple[tuple[str, float], ...]:
        """`(kind, bytes per connection)` of each kind that was observed."""
        kinds = ((kind, getattr(self, kind)) for kind in MEMORY_KINDS)
        return tuple((kind, value) for kind, value in kinds if value is not None)


@dataclass(frozen=True, slots=True)
class Ramp:
    """Figures of the opening of the connections.

    Attributes:
        time_to_n_s: from the first connect to the last verified hello.
        connect_p99_us: median over trials of the p99 of connect().
        hello_p99_us: median over trials of the p99 of the first echo.
        failed: connections that were never established; the maximum of all trials.
        overflows: ListenOverflows; the maximum of all trials.
        timeline: `(ms since the first connect, established)` of the median trial.
    """

    time_to_n_s: Estimate | None
    connect_p99_us: float | None
    hello_p99_us: float | None
    failed: int
    overflows: int
    timeline: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Tenths:
    """Echoes per second in each tenth of the window of one trial, and that trial's status."""

    block: int
    status: str
    per_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of one server over its trials.

    Unproven, void, capped and missing trials are counted and explained, and stay out of every
    figure.

    Attributes:
        status: valid | noisy | unproven | void | capped | missing.
        counts: trials by status, without the zeros.
        held: connections established, the lowest of all trials that show it; None if none does.
        efficiency: echoes per second of server CPU time.
        rate: echoes per second.
        saturated: whether the server's CPUs were so busy that `rate` is its capacity.
        server_busy: busy share of the server's CPUs, median.
        generator_busy: share of the load's CPUs that it used for work, as its gate judges it,
            median.
        cpu_us_per_echo: server CPU time.
        offered_per_s: the rate of an open loop, median.
        self_delay_p99_us: p99 of the time that the generator added to a latency of an open loop,
            median.
        waits_per_echo: calls that only wait, as the server counted them itself.
        events_per_wake_up: descriptors that such a call reported; None if the server has no such
            call.
        syscalls_per_echo: calls that an x-ray counted, without waits and locks, plus the waits of
            this cell; None if the server waits and does not count how often.
        syscalls_tool: the tool that counted in the x-ray.
        voluntary_per_echo: context switches of threads that went to sleep.
        involuntary_per_echo: context switches of threads that the scheduler interrupted.
        user_share, system_share, softirq_share: of the time in which the server's CPUs were busy.
        connect_p50_us, connect_p99_us: of connect() in churn, over trials.
        void_by_itself: trials that are void for a reason that no busy host causes.
        tenths: of each trial that has them, by block.
    """

    variant: str
    key: CellKey
    status: str
    counts: tuple[tuple[str, int], ...]
    reasons: tuple[Reason, ...]
    held: int | None
    efficiency: Estimate | None
    rate: Estimate | None
    saturated: bool | None
    server_busy: float | None
    generator_busy: float | None
    cpu_us_per_echo: Estimate | None
    latency_us: Latency | None
    memory: Memory | None
    threads: float | None
    switches_per_echo: float | None
    ramp: Ramp | None
    offered_per_s: float | None = None
    self_delay_p99_us: float | None = None
    waits_per_echo: float | None = None
    events_per_wake_up: float | None = None
    syscalls_per_echo: float | None = None
    syscalls_tool: str | None = None
    voluntary_per_echo: float | None = None
    involuntary_per_echo: float | None = None
    user_share: float | None = None
    system_share: float | None = None
    softirq_share: float | None = None
    connect_p50_us: float | None = None
    connect_p99_us: Estimate | None = None
    void_by_itself: int = 0
    tenths: tuple[Tenths, ...] = ()

    def count(self, status: str) -> int:
        """Return how many of its trials have that status."""
        return dict(self.counts).get(status, 0)


@dataclass(frozen=True, slots=True)
class Headline:
    """The one cell that ranks.

    Attributes:
        key: the cell, or None if the plan has no idle cell.
        is_ranked: whether this campaign can rank.
        why_not: one sentence if it cannot; `advice` says what to do and `code` names the reason.
    """

    key: CellKey | None
    is_ranked: bool
    why_not: str
    code: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Unranked:
    """Why nothing is ranked.

    Attributes:
        code: names the reason for programs, such as `profile`, `usable-trials` or `void:lost`.
        why: the reason, without a full stop.
        advice: what to do about it, without a full stop.
        waits: whether the campaign is running, so that a ranking may follow.
    """

    code: str
    why: str
    advice: str
    waits: bool = False

    @property
    def title(self) -> str:
        """`Not ranked`, or `Not ranked yet` while the campaign runs."""
        return "Not ranked yet" if self.waits else "Not ranked"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers that can be ranked, at the headline.

    Attributes:
        comparison: of `one` over `other`; None if they share fewer than three blocks.
    """

    one: str
    other: str
    comparison: Comparison | None

    @property
    def is_settled(self) -> bool:
        """Whether the two are different or equivalent."""
        return self.comparison is not None and self.comparison.outcome != "inconclusive"

    @property
    def better(self) -> str | None:
        """The better one; None if neither is."""
        if self.comparison is None or self.comparison.outcome != "different":
            return None
        return self.one if self.comparison.ratio > 1 else self.other

    @property
    def worse(self) -> str | None:
        """The worse one; None if neither is."""
        better = self.better
        return None if better is None else self.other if better == self.one else self.one


@dataclass(frozen=True, slots=True)
class Row:
    """One server at the headline.

    Attributes:
        rank: "2", "1=" where it is shared, "1–3" where it is not settled, "—" without a rank.
        comparison: with the best; None for the best itself and for the unranked.
        is_best: whether its rate is the highest; the "slower by" of the others is against it.
        held: connections it held at the headline's N; None when unknown.
        efficiency: its cell's over the blocks of the last look; in waves as if all had run at the
            same speed. Between servers with the same blocks, the ratio of these is `comparison`.
        memory_ratio: its memory per connection over the median of all variants at the headline.
        switches_ratio: the same of its context switches per echo.
        note: why it has no rank; empty when it has one.
        places: its best and worst possible place; None when it is not ranked.
        is_settled: whether each pair with it is different or equivalent; False when not ranked.
        blocks_to_settle: about how many more blocks would settle it; None when it is settled, not
            ranked, or when more blocks are unlikely to settle it.
    """

    variant: str
    rank: str
    is_best: bool
    comparison: Comparison | None
    cell: Cell | None
    held: int | None
    memory_ratio: float | None
    switches_ratio: float | None
    note: str
    places: tuple[int, int] | None = None
    is_settled: bool = False
    blocks_to_settle: int | None = None
    efficiency: Estimate | None = None


@dataclass(frozen=True, slots=True)
class RankGroup:
    """Servers of one width, which are comparable; `pairs` has all pairs that can be ranked."""

    workers: str
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Contrast:
    """A server compared with the best of its group, at any cell with traffic.

    The best is the one of the headline, so at other cells it may be the slower one.
    """

    variant: str
    best: str
    key: CellKey
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that was computed from one campaign.

    Attributes:
        superseded: number of records that a later attempt replaced; they are in no figure.
        ranked_void: whether a cell that the ranking needs is void.
        looks: the progress of the campaign, which gives the look of the verdicts.
        unranked: why nothing is ranked; None if a server is.
        control: cells of the second run of the server that runs twice; in no figure.
        floor: that server compared with itself, the noise floor; empty without such a pair.
    """

    headline: Headline
    groups: tuple[RankGroup, ...]
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    superseded: int
    ranked_void: bool
    looks: Looks
    unranked: Unranked | None = None
    control: tuple[Cell, ...] = ()
    floor: tuple[Contrast, ...] = ()

    def cell(self, variant: str, key: CellKey | None) -> Cell | None:
        """Return the cell of `variant` at `key`, or None."""
        found = (cell for cell in self.cells if cell.variant == variant and cell.key == key)
        return next(found, None)

    def contrast(self, variant: str, key: CellKey) -> Contrast | None:
        """Return the contrast of `variant` at `key`, or None."""
        found = (one for one in self.contrasts if one.variant == variant and one.key == key)
        return next(found, None)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all groups."""
        return tuple(row for group in self.groups for row in group.rows)
