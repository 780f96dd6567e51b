"""Make one section per server: its texts, its limits as read back, its cells and trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.contract.record import Record, number
from harness.contract.statuses import TrialEnd
from harness.report.sections import background
from harness.report.sections.background import Limit, Variant
from harness.report.sections.tables import NONE, CellRow

COUNTERS = ("accepted", "waits", "events")


@dataclass(frozen=True, slots=True)
class TrialRow:
    """The end of one trial.

    Attributes:
        counters: values of `COUNTERS`, as the server counted them over the whole trial.
        events_per_wait: events per wake-up, over the whole trial.
        reconciled: whether the server's counters agree with the load's, in words.
    """

    trial: str
    outcome: str
    exit_code: str
    counters: tuple[str, ...]
    events_per_wait: str
    reconciled: str
    is_failed: bool
    log_tail: str


@dataclass(frozen=True, slots=True)
class Section:
    """Everything about one server."""

    variant: Variant
    limits: tuple[Limit, ...]
    cells: tuple[CellRow, ...]
    trials: tuple[TrialRow, ...]


def sections(
    variants: Sequence[Variant],
    cells: Sequence[CellRow],
    records: Sequence[Record],
    outcomes: Sequence[Record],
) -> tuple[Section, ...]:
    """Return the sections in the order of `variants`."""
    return tuple(
        Section(
            variant=variant,
            limits=background.limits([line for line in records if _is_of(line, variant)]),
            cells=tuple(row for row in cells if row.variant == variant.name),
            trials=tuple(_trial(line) for line in outcomes if _is_of(line, variant)),
        )
        for variant in variants
    )


def _is_of(line: Record, variant: Variant) -> bool:
    return str(line.get("variant")) == variant.name


def _trial(line: Record) -> TrialRow:
    attempt = int(number(line, "attempt") or 1)
    is_failed = line.get("outcome") == TrialEnd.FAILED
    waits, events = number(line, "counters", "waits"), number(line, "counters", "events")
    code = number(line, "exit_code")
    words = {True: "agree", False: "differ"}
    return TrialRow(
        trial=f"{line.get('trial')}{f', attempt {attempt}' if attempt > 1 else ''}",
        outcome=f"failed: {line.get('code') or 'no code'}" if is_failed else "done",
        exit_code=NONE if code is None else f"{code:.0f}",
        counters=tuple(_count(number(line, "counters", name)) for name in COUNTERS),
        events_per_wait=f"{events / waits:,.2f}" if waits and events is not None else NONE,
        reconciled=words.get(line.get("reconciled"), NONE),  # type: ignore[arg-type]
        is_failed=is_failed,
        log_tail=str(line.get("log_tail") or "") if is_failed else "",
    )


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"
