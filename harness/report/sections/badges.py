"""Make the notes of the ranked table: short badges, each with a link to what explains it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.analysis import settling
from harness.analysis.ranking import NONCONFORMING
from harness.analysis.results import Analysis, Cell, Row
from harness.contract.statuses import CellStatus
from harness.gates import proof_coverage
from harness.report.sections.anchors import anchor, status_word

Tone = Literal["plain", "capped", "warn", "bad"]
# Statuses that leave a row without a figure
WITHOUT_FIGURE = (
    CellStatus.CAPPED,
    CellStatus.VOID,
    CellStatus.MISSING,
    proof_coverage.UNPROVEN,
)
PLACE_OF_NOISE = "g-valid-noisy-rejected-capped"
PLACE_OF_SETTLING = "g-different-equivalent-not-settled"


@dataclass(frozen=True, slots=True)
class Badge:
    """One note: a few words, the id that explains it in this page, and the whole sentence."""

    text: str
    tone: Tone
    place: str
    told: str


def badges(analysis: Analysis, row: Row) -> tuple[Badge, ...]:
    """Return the notes of a row, the gravest first; none if there is nothing to say."""
    return tuple(_badges(analysis, row))


def _badges(analysis: Analysis, row: Row) -> Iterator[Badge]:
    cell = row.cell
    if cell is None:
        yield Badge("not measured", "bad", row.variant, row.note)
        return
    place = anchor(cell)
    if cell.status in WITHOUT_FIGURE:
        yield _without_figure(row, cell, place)
        return
    yield from _barred(row)
    total = sum(count for _, count in cell.counts)
    because = cell.reasons[0].text if cell.reasons else ""
    for status, count in cell.counts:
        if status not in (CellStatus.VALID, CellStatus.NOISY):
            yield Badge(f"{status_word(status)} {count}/{total}", "bad", place, because)
    if noisy := cell.count(CellStatus.NOISY):
        yield Badge(f"noisy {noisy}/{total}", "warn", place, because)
    if paired := _fewer_pairs(analysis, row):
        yield paired
    if unsettled := settling.forecast(row):
        more = f": +{row.blocks_to_settle} blocks" if row.blocks_to_settle else ""
        yield Badge(f"not settled{more}", "plain", PLACE_OF_SETTLING, f"not settled: {unsettled}")


def _without_figure(row: Row, cell: Cell, place: str) -> Badge:
    told = row.note or status_word(cell.status)
    if cell.status == CellStatus.CAPPED:
        words = f"capped at {row.held:,}" if row.held is not None else "capped"
        return Badge(words, "capped", place, told)
    return Badge(status_word(cell.status), "bad", place, told)


def _barred(row: Row) -> Iterator[Badge]:
    """Say why a server with a figure has no rank, if the reason is its own."""
    if row.note == NONCONFORMING:
        yield Badge("does not conform", "bad", row.variant, row.note)
    elif row.note.startswith("experimental"):
        yield Badge("experimental", "plain", row.variant, row.note)


def _fewer_pairs(analysis: Analysis, row: Row) -> Badge | None:
    """Say that the ratio of a row is not that of the rates next to it, and why."""
    best = next((one for one in analysis.rows if one.is_best), None)
    if row.comparison is None or row.efficiency is None or not (best and best.efficiency):
        return None
    paired, blocks = row.comparison.blocks, len(best.efficiency.blocks)
    if paired == blocks == len(row.efficiency.blocks):
        return None
    told = f"slower by: from the {paired} blocks in which both servers have a figure"
    return Badge(f"ratio of {paired} blocks", "plain", "g-slower-by", told)
