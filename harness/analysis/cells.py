"""Aggregate the data frame to one `Cell` per server and point, over its trials."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

import pandas as pd

from harness.analysis import echo_costs
from harness.analysis.histograms import merged_latency
from harness.analysis.intervals import Estimate, estimate
from harness.analysis.results import (
    MEMORY_KINDS,
    STATUSES,
    Cell,
    CellKey,
    Latency,
    Memory,
    Ramp,
    Reason,
    Tenths,
)
from harness.analysis.series import Place, Series
from harness.contract.statuses import CellStatus
from harness.gates import USABLE
from harness.gates.calibration import SATURATED_BUSY_MIN


def cells(frame: pd.DataFrame, anchor: str | None = None) -> tuple[Cell, ...]:
    """Aggregate the used rows per server and key, sorted by key and server.

    Args:
        anchor: the server that is in every wave; None if the campaign has no waves.
    """
    used = frame[frame["is_used"].astype(bool)]
    anchored = used[(used["variant"] == anchor) & used["status"].isin(USABLE)]
    levels = {
        cast(CellKey, key): _by_place(rows, "efficiency")
        for key, rows in anchored.groupby("key", sort=False)
    }
    deepest = _largest_idle(used["key"])
    found = []
    for (variant, name), rows in used.groupby(["variant", "key"], sort=False):
        key = cast(CellKey, name)
        has_curve = key.is_open_loop or key == deepest
        found.append(_cell(str(variant), key, rows, levels.get(key, {}), with_curve=has_curve))
    return tuple(sorted(found, key=lambda cell: (cell.key.order, cell.variant)))


def _largest_idle(keys: Iterable[CellKey]) -> CellKey | None:
    """The headline's key, or that of the cell that stands in for it."""
    idle = (key for key in set(keys) if key.scenario == "idle")
    return max(idle, key=lambda key: key.order, default=None)


def _cell(
    variant: str,
    key: CellKey,
    rows: pd.DataFrame,
    anchor: Mapping[Place, float],
    *,
    with_curve: bool,
) -> Cell:
    usable = rows[rows["status"].isin(USABLE)]
    has_traffic = key.scenario != "ramp"
    busy = _median(usable, "server_busy")
    return Cell(
        variant=variant,
        key=key,
        status=_status(set(rows["status"])),
        counts=tuple(_counts(rows["status"])),
        reasons=_reasons(rows["reasons"]),
        void_by_itself=_void_by_itself(rows),
        held=_held(rows),
        efficiency=_estimate(usable, "efficiency", anchor) if has_traffic else None,
        rate=_estimate(usable, "rate") if has_traffic else None,
        saturated=None if busy is None or not has_traffic else busy >= SATURATED_BUSY_MIN,
        server_busy=busy,
        generator_busy=_median(usable, "generator_busy"),
        cpu_us_per_echo=_estimate(usable, "cpu_us_per_echo") if has_traffic else None,
        latency_us=_latency(usable, with_curve=with_curve) if has_traffic else None,
        memory=_memory(usable),
        threads=_median(usable, "threads"),
        ramp=None if has_traffic else _ramp(usable if len(usable) else rows),
        offered_per_s=_median(rows, "offered_per_s"),
        self_delay_p99_us=_median(usable, "self_delay_p99_us"),
        connect_p50_us=_median(usable, "churn_connect_p50_us"),
        connect_p99_us=_estimate(usable, "churn_connect_p99_us"),
        tenths=_tenths(rows),
        syscalls_tool=None,  # a text: mypy takes any field that is missing here for one of COLUMNS
        **{name: _median(usable, name) for name in echo_costs.COLUMNS},
    )


def _status(statuses: set[str]) -> str:
    """Return the first status of the list below that a trial has."""
    for status in (
        CellStatus.CAPPED,
        CellStatus.NOISY,
        CellStatus.VALID,
        CellStatus.UNPROVEN,
        CellStatus.VOID,
    ):
        if status in statuses:
            return status
    return CellStatus.MISSING


def _counts(statuses: Iterable[str]) -> Iterable[tuple[str, int]]:
    counted = Counter(statuses)
    return ((status, counted[status]) for status in STATUSES if counted[status])


def _void_by_itself(rows: pd.DataFrame) -> int:
    by_host = rows["is_void_by_host"].eq(other=True)
    return int(((rows["status"] == CellStatus.VOID) & ~by_host).sum())


def _reasons(rows: Iterable[Any]) -> tuple[Reason, ...]:
    """One entry per gate, with the text of the first trial that tripped it."""
    texts: dict[str, str] = {}
    trials: Counter[str] = Counter()
    for reasons in rows:
        for code, text in reasons:
            texts.setdefault(code, text)
            trials[code] += 1
    return tuple(Reason(code, text, trials[code]) for code, text in texts.items())


def _held(rows: pd.DataFrame) -> int | None:
    held = rows["held"].dropna()
    return int(held.min()) if len(held) else None


def _estimate(
    rows: pd.DataFrame, column: str, anchor: Mapping[Place, float] | None = None
) -> Estimate | None:
    return estimate(Series(_by_place(rows, column), anchor or {}))


def _by_place(rows: pd.DataFrame, column: str) -> dict[Place, float]:
    places = zip(rows["block"].tolist(), rows["wave"].tolist(), rows[column].tolist(), strict=True)
    return {
        (int(block), int(wave)): float(value) for block, wave, value in places if _is_known(value)
    }


def _median(rows: pd.DataFrame, column: str) -> float | None:
    # Lists, because a cell has few rows and many columns, and each step of pandas costs 0.1 ms
    known = [float(value) for value in rows[column].tolist() if _is_known(value)]
    return statistics.median(known) if known else None


def _is_known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def _texts(column: Iterable[Any]) -> list[str]:
    return [value for value in column if isinstance(value, str) and value]


def _latency(rows: pd.DataFrame, *, with_curve: bool) -> Latency | None:
    return merged_latency(_texts(rows["histogram"]), with_curve=with_curve)


def _tenths(rows: pd.DataFrame) -> tuple[Tenths, ...]:
    """Of the trials that have them; without echoes there is no mean to compare with."""
    columns = (rows[name].tolist() for name in ("block", "status", "tenths"))
    found = (
        Tenths(int(block), str(status), tenths)
        for block, status, tenths in zip(*columns, strict=True)
        if isinstance(tenths, tuple) and sum(tenths) > 0
    )
    return tuple(sorted(found, key=lambda one: one.block))


def _memory(rows: pd.DataFrame) -> Memory | None:
    found = {kind: _median(rows, kind) for kind in MEMORY_KINDS}
    slab = _median(rows, "slab")
    # A connection always takes slab, so other processes must have released more than it took
    if slab is not None and slab <= 0:
        found["kernel"] = None
    memory = Memory(**found)
    return memory if memory.observed else None


def _ramp(rows: pd.DataFrame) -> Ramp | None:
    if rows["failed"].isna().all():
        return None
    return Ramp(
        time_to_n_s=_estimate(rows, "time_to_n_s"),
        connect_p99_us=_median(rows, "connect_p99_us"),
        hello_p99_us=_median(rows, "hello_p99_us"),
        failed=_most(rows, "failed"),
        overflows=_most(rows, "overflows"),
        timeline=_timeline(rows),
    )


def _timeline(rows: pd.DataFrame) -> tuple[tuple[float, float], ...]:
    """Return the curve of the trial nearest to the median time; curves cannot be averaged."""
    drawn = [
        (seconds, line)
        for seconds, line in zip(rows["time_to_n_s"], rows["timeline"], strict=True)
        if isinstance(line, tuple) and line
    ]
    if not drawn:
        return ()
    middle = _median(rows, "time_to_n_s")
    if middle is None:
        return drawn[0][1]
    known = [(abs(seconds - middle), line) for seconds, line in drawn if seconds == seconds]
    return min(known)[1] if known else drawn[0][1]


def _most(rows: pd.DataFrame, column: str) -> int:
    known = rows[column].dropna()
    return int(known.max()) if len(known) else 0
