"""Lay out the records of a campaign as one data frame: one row per cell of each trial.

Rule 1: a cell of a trial counts once, by the last attempt at it (harness/gates/attempts.py). Other
attempts stay in the frame with `is_used` false.
Rule 2: a planned cell that was not measured has a row too, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

import pandas as pd

from harness.analysis import echo_costs
from harness.analysis.results import MEMORY_KINDS, CellKey
from harness.contract import trial_spec
from harness.contract.record import VariantFacts, load_busy
from harness.contract.statuses import CampaignState, CellStatus, TrialEnd
from harness.contract.stored_campaign import StoredHead, StoredOutcome, StoredPlannedCell
from harness.contract.stored_cell import StoredCell
from harness.gates import cpu_checks, judge
from harness.gates.attempts import Attempts, is_void_by_host

NOT_MEASURED: dict[str, str] = {
    CampaignState.RUNNING: "not measured yet",
    CampaignState.INTERRUPTED: "the campaign was interrupted before it",
    CampaignState.STOPPED: "the campaign was stopped before it",
}
NO_CAPACITY = "the server's capacity could not be measured, so no rate is a share of it"
NUMBERS: dict[str, Callable[[StoredCell], float | None]] = {
    "rate": lambda cell: cell.echoes_per_s,
    "server_busy": lambda cell: cell.server.cpu_busy,
    "threads": lambda cell: cell.server.threads,
    "time_to_n_s": lambda cell: cell.ramp.time_to_n_s,
    "connect_p99_us": lambda cell: cell.connect_us.p99,
    "hello_p99_us": lambda cell: cell.hello_us.p99,
    "churn_connect_p50_us": lambda cell: cell.churn.connect_us.p50,
    "churn_connect_p99_us": lambda cell: cell.churn.connect_us.p99,
    "failed": lambda cell: cell.ramp.failed,
    "overflows": lambda cell: cell.tcp.get("ListenOverflows"),
    "offered_per_s": lambda cell: cell.rate_offered_per_s,
    "self_delay_p99_us": lambda cell: cell.self_delay_us.p99,
}
MEMORY_COLUMNS = (*MEMORY_KINDS, "slab")  # the last is the estimated part of the kernel's
DERIVED = (
    "efficiency",
    "cpu_us_per_echo",
    "generator_busy",
    "held",
    *echo_costs.COLUMNS,
    *MEMORY_COLUMNS,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt at a cell: the columns of the frame.

    Attributes:
        reasons: `(gate, sentence)` of each gate that it failed.
        is_void_by_host: a busy host can cause every reason that voids it.
        histogram: of the latency, in the standard compressed encoding (base64).
        timeline: `(ms since the first connect, connections established)`.
        tenths: echoes per second in each tenth of the window.
        numbers: `NUMBERS` and `DERIVED`, one column each.
    """

    variant: str
    block: int
    wave: int
    trial: str
    attempt: int
    key: CellKey
    is_used: bool
    status: str
    reasons: tuple[tuple[str, str], ...]
    is_void_by_host: bool = False
    histogram: str | None = None
    timeline: tuple[tuple[float, float], ...] = ()
    tenths: tuple[float, ...] = ()
    numbers: Mapping[str, float | None] = field(default_factory=dict)


COLUMNS = tuple(one.name for one in fields(Row) if one.name != "numbers")


def frame(
    head: StoredHead, records: Sequence[StoredCell], outcomes: Sequence[StoredOutcome]
) -> pd.DataFrame:
    """Judge every record and lay out all cells that were planned or measured."""
    facts, plain = head.facts, VariantFacts()
    attempts = Attempts(records, outcomes)
    measured: dict[tuple[str, int, CellKey], Row] = {}
    for record in records:
        row = _row(record, facts.get(record.variant, plain), is_used=attempts.is_used(record))
        measured[row.trial, row.attempt, row.key] = row
    rows = [*measured.values(), *_missing(head, measured, outcomes, attempts)]
    columns: dict[str, list[object]] = {
        name: [getattr(row, name) for row in rows] for name in COLUMNS
    }
    columns |= {name: [row.numbers.get(name) for row in rows] for name in (*NUMBERS, *DERIVED)}
    return pd.DataFrame(columns).astype(dict.fromkeys((*NUMBERS, *DERIVED), "float64"))


def key_of(cell: StoredCell) -> CellKey:
    """Return the key of a measured cell."""
    return CellKey(
        scenario=str(cell.scenario),
        connections=int(cell.connections_requested or 0),
        active=int(cell.active or 0),
        payload_bytes=int(cell.payload_bytes or 0),
        depth=int(cell.depth or 1),
        rate_offered_per_s=None if cell.rate_share else cell.rate_offered_per_s,
        rate_share=cell.rate_share,
        closing=cell.closing or None,
    )


def planned_key(cell: StoredPlannedCell | trial_spec.Cell) -> CellKey:
    """Return the key of a cell of a plan."""
    return CellKey(
        scenario=str(cell.scenario),
        connections=int(cell.connections or 0),
        active=int(cell.active or 0),
        payload_bytes=int(cell.payload_bytes or 0),
        depth=int(cell.depth or 1),
        rate_offered_per_s=None if cell.rate_share else cell.rate_per_s,
        rate_share=cell.rate_share,
        closing=cell.closing or None,
    )


def planned_keys(head: StoredHead) -> set[CellKey]:
    """Return the keys of all planned cells."""
    return {planned_key(cell) for trial in head.plan for cell in trial.cells}


def _row(cell: StoredCell, facts: VariantFacts, *, is_used: bool) -> Row:
    verdict = judge(cell, facts)
    return Row(
        variant=cell.variant,
        block=cell.block,
        wave=cell.wave,
        trial=cell.trial,
        attempt=cell.attempt,
        key=key_of(cell),
        is_used=is_used,
        status=verdict.status,
        reasons=verdict.reasons,
        is_void_by_host=is_void_by_host(cell, {code for code, _ in verdict.reasons}),
        histogram=cell.histogram,
        timeline=cell.ramp.timeline,
        tenths=cell.parts_per_s or (),
        numbers={name: read(cell) for name, read in NUMBERS.items()} | _derived(cell),
    )


def _derived(cell: StoredCell) -> dict[str, float | None]:
    """Compute figures from raw counters, never from figures of the record."""
    echoes_per_cpu_s = cpu_checks.echoes_per_cpu_s(cell)
    connections = cell.connections_requested or 0.0
    derived: dict[str, float | None] = {
        "efficiency": echoes_per_cpu_s,
        "cpu_us_per_echo": 1e6 / echoes_per_cpu_s if echoes_per_cpu_s else None,
        "generator_busy": load_busy(cell),
        # With churn, the lowest count of connections means nothing.
        "held": None if cell.closing else cell.connections_established_min,
        **echo_costs.columns(cell),
    }
    for kind in MEMORY_COLUMNS:
        used = cell.server.memory_bytes.get(kind)
        baseline = cell.server.memory_baseline_bytes.get(kind)
        derived[kind] = None
        if used is not None and baseline is not None and connections:
            derived[kind] = (used - baseline) / connections
    return derived


def _missing(
    head: StoredHead,
    measured: Mapping[tuple[str, int, CellKey], Row],
    outcomes: Sequence[StoredOutcome],
    attempts: Attempts,
) -> Iterator[Row]:
    capped = {
        (row.trial, row.attempt, row.key.connections): row.reasons
        for row in measured.values()
        if row.status == CellStatus.CAPPED
    }
    ended = {(line.trial, line.attempt): line for line in outcomes}
    default = NOT_MEASURED.get(head.state, "no record of it")
    for trial in head.plan:
        for number, cell in enumerate(trial.cells):
            key, attempt = planned_key(cell), attempts.at(trial.id, number)
            if (trial.id, attempt, key) in measured:
                continue
            above = capped.get((trial.id, attempt, key.connections))
            text = _why_missing(
                ended.get((trial.id, attempt)), NO_CAPACITY if key.rate_share else default
            )
            yield Row(
                variant=trial.variant,
                block=trial.block,
                wave=trial.wave,
                trial=trial.id,
                attempt=attempt,
                key=key,
                is_used=True,
                status=CellStatus.CAPPED if above else CellStatus.MISSING,
                reasons=above or ((CellStatus.MISSING, text),),
            )


def _why_missing(outcome: StoredOutcome | None, default: str) -> str:
    if outcome is None or outcome.outcome != TrialEnd.FAILED:
        return default
    text = outcome.text or outcome.code or "no reason given"
    return f"the trial failed before it: {text}"
