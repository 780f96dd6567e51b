"""Records → one data frame, one row per planned or measured cell of each trial.

Rule 1: a cell of a trial counts once: by the last attempt at it (harness/gates/attempts.py). The
others stay in the frame with `is_used` false.
Rule 2: what was planned and not measured has a row too, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from harness.analysis import echo_costs
from harness.analysis.results import MEMORY_KINDS, CellKey
from harness.contract.record import Record, VariantFacts, facts_of, load_busy, number
from harness.contract.statuses import CampaignState, CellStatus, TrialEnd
from harness.contract.stored_cell import StoredCell
from harness.gates import judge
from harness.gates.attempts import Attempts, attempt_of, is_void_by_host, trial_of
from harness.gates.cpu_checks import SERVER_CPU_MS_MIN, server_cpu_ns

NOT_MEASURED: dict[str, str] = {
    CampaignState.RUNNING: "not measured yet",
    CampaignState.INTERRUPTED: "the campaign was interrupted before it",
    CampaignState.STOPPED: "the campaign was stopped before it",
}
NO_CAPACITY = "the server's capacity could not be measured, so no rate is a share of it"
COLUMNS = (
    "variant",
    "block",
    "wave",
    "trial",
    "attempt",
    "key",
    "is_used",
    "status",
    "reasons",
    "is_void_by_host",
    "histogram",
    "timeline",
    "tenths",
)
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


def frame(
    campaign: Mapping[str, Any], records: Sequence[Record], outcomes: Sequence[Record]
) -> pd.DataFrame:
    """Judge every record and lay out all cells that were planned or measured."""
    facts = {str(variant.get("name")): facts_of(variant) for variant in _variants(campaign)}
    attempts = Attempts(records, outcomes)
    measured: dict[tuple[str, int, CellKey], dict[str, Any]] = {}
    for record in records:
        row = _row(record, facts.get(str(record.get("variant")), VariantFacts()))
        row["is_used"] = attempts.is_used(record)
        measured[row["trial"], row["attempt"], row["key"]] = row
    rows = [*measured.values(), *_missing(campaign, measured, outcomes, attempts)]
    laid_out = pd.DataFrame(rows, columns=[*COLUMNS, *NUMBERS, *DERIVED])
    return laid_out.astype(dict.fromkeys((*NUMBERS, *DERIVED), "float64"))


def key_of(cell: Record) -> CellKey:
    """The key of a record, or of a cell of the plan."""
    connections = number(cell, "connections_requested") or number(cell, "connections") or 0
    rate = number(cell, "rate_offered_per_s") or number(cell, "rate_per_s")
    share = number(cell, "rate_share")
    return CellKey(
        scenario=str(cell.get("scenario")),
        connections=int(connections),
        active=int(number(cell, "active") or 0),
        payload_bytes=int(number(cell, "payload_bytes") or 0),
        depth=int(number(cell, "depth") or 1),
        rate_offered_per_s=None if share else rate,
        rate_share=share,
        closing=str(closing) if (closing := cell.get("closing")) else None,
    )


def planned_cells(campaign: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], CellKey]]:
    """Each `(trial of the plan, key)` of `campaign.json`, in the order of the plan."""
    for trial in campaign.get("plan") or ():
        for step in trial.get("steps") or ():
            for cell in step.get("cells") or ():
                yield trial, key_of(cell)


def profile_name(campaign: Mapping[str, Any]) -> str:
    """The profile's name; of one that was given as a file, the file's, without its directory."""
    name = (campaign.get("profile") or {}).get("name")
    return PurePath(str(name)).stem if name else "unnamed"


def _variants(campaign: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return campaign.get("variants") or ()


def _row(record: Record, facts: VariantFacts) -> dict[str, Any]:
    cell = StoredCell.of(record)
    verdict = judge(cell, facts)
    ramp = record.get("ramp") or {}
    row: dict[str, Any] = {
        "variant": str(record.get("variant")),
        "block": int(number(record, "block") or 0),
        "wave": int(number(record, "wave") or 0),
        "trial": trial_of(record),
        "attempt": attempt_of(record),
        "key": key_of(record),
        "status": verdict.status,
        "reasons": verdict.reasons,
        "is_void_by_host": is_void_by_host(cell, {code for code, _ in verdict.reasons}),
        "histogram": record.get("histogram"),
        "timeline": tuple((float(ms), float(n)) for ms, n in ramp.get("timeline") or ()),
        "tenths": cell.parts_per_s,
        # Where connections come and go, how many there were at the lowest says nothing.
        "held": None if cell.closing else cell.connections_established_min,
    }
    row |= {name: read(cell) for name, read in NUMBERS.items()}
    return row | _derived(cell)


def _derived(cell: StoredCell) -> dict[str, float | None]:
    """Figures from raw counters, never from what the record derived itself."""
    echoes_per_cpu_s = _echoes_per_cpu_s(cell)
    connections = cell.connections_requested or 0.0
    derived: dict[str, float | None] = {
        "efficiency": echoes_per_cpu_s,
        "cpu_us_per_echo": 1e6 / echoes_per_cpu_s if echoes_per_cpu_s else None,
        "generator_busy": load_busy(cell),
        **echo_costs.columns(cell),
    }
    for kind in MEMORY_COLUMNS:
        used = cell.server.memory_bytes.get(kind)
        baseline = cell.server.memory_baseline_bytes.get(kind)
        known = used is not None and baseline is not None and connections
        derived[kind] = (used - baseline) / connections if known else None  # type: ignore[operator]
    return derived


def _echoes_per_cpu_s(record: StoredCell) -> float | None:
    """Echoes per second of server CPU. Too little CPU time is no figure; in a closed loop a gate
    then voids the cell.

    What the kernel charged and the echoes are of the same spans. Records from before that was read
    have the run time of known processes, just outside the window's edges, hence over an interval
    of its own.
    """
    cpu_ns = server_cpu_ns(record)
    if not cpu_ns or cpu_ns < SERVER_CPU_MS_MIN * 1e6:
        return None
    charged_echoes = record.server.charged.echoes
    if charged_echoes is not None:
        return charged_echoes / cpu_ns * 1e9 or None
    interval_ns = record.server.interval_ns
    if interval_ns is None:
        interval_ns = (record.window_s or 0) * 1e9
    return (record.echoes_per_s or 0.0) * interval_ns / cpu_ns or None


def _missing(
    campaign: Mapping[str, Any],
    measured: Mapping[tuple[str, int, CellKey], dict[str, Any]],
    outcomes: Sequence[Record],
    attempts: Attempts,
) -> Iterator[dict[str, Any]]:
    capped = {
        (row["trial"], row["attempt"], row["key"].connections): row["reasons"]
        for row in measured.values()
        if row["status"] == CellStatus.CAPPED
    }
    ended = {(trial_of(line), attempt_of(line)): line for line in outcomes}
    default = NOT_MEASURED.get(str(campaign.get("state")), "no record of it")
    for trial, number_of_cell, key in _numbered_cells(campaign):
        name = trial_of(trial)
        attempt = attempts.at(name, number_of_cell)
        if (name, attempt, key) in measured:
            continue
        above = capped.get((name, attempt, key.connections))
        text = _why_missing(ended.get((name, attempt)), NO_CAPACITY if key.rate_share else default)
        yield {
            "variant": str(trial.get("variant")),
            "block": int(number(trial, "block") or 0),
            "wave": int(number(trial, "wave") or 0),
            "trial": name,
            "attempt": attempt,
            "key": key,
            "is_used": True,
            "status": CellStatus.CAPPED if above else CellStatus.MISSING,
            "reasons": above or ((CellStatus.MISSING, text),),
        }


def _numbered_cells(
    campaign: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], int, CellKey]]:
    """The planned cells, each with its number in its trial."""
    place: tuple[str, int] = ("", -1)
    for trial, key in planned_cells(campaign):
        name = trial_of(trial)
        place = (name, place[1] + 1 if place[0] == name else 0)
        yield trial, place[1], key


def _why_missing(outcome: Record | None, default: str) -> str:
    if outcome is None or outcome.get("outcome") != TrialEnd.FAILED:
        return default
    text = outcome.get("text") or outcome.get("code") or "without a word"
    return f"the trial failed before it: {text}"
