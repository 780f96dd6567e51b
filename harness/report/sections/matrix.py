"""Compare language × mechanism: the cost of the same mechanism in another language.

Rows are mechanisms, columns are families. The servers of one family differ only in the mechanism.
So only the language differs along a row, and only the mechanism down a column.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis import wording
from harness.analysis.intervals import compare
from harness.analysis.results import Analysis, Cell
from harness.contract.statuses import CellStatus
from harness.report.sections.anchors import status_word
from harness.report.sections.tables import range_of

# A matrix of one row would be a list. One of one column would repeat another chart.
LINES_MIN = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One server in the matrix.

    Attributes:
        cost: server CPU time per echo, or what stopped the server.
        against: its cost divided by that of its twin in the first family, with the interval. The
            twin has the same mechanism. If possible, both or neither have a declared ceiling.
    """

    variant: str
    cost: str
    against: str


@dataclass(frozen=True, slots=True)
class Line:
    """One mechanism: for each family the servers that have it."""

    architecture: str
    entries: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """One number of open connections of scenario `idle`."""

    title: str
    families: tuple[str, ...]
    lines: tuple[Line, ...]


def matrices(campaign: Mapping[str, Any], analysis: Analysis) -> tuple[Matrix, ...]:
    """Return one matrix per number of idle connections, if two families share mechanisms."""
    table = _twins(campaign)
    families = tuple(sorted({family for row in table.values() for family in row}))
    if len(table) < LINES_MIN or len(families) < LINES_MIN:
        return ()
    keys = {cell.key for cell in analysis.cells if cell.key.scenario == "idle" and cell.efficiency}
    ceilings = {row.variant: row.held for row in analysis.rows}
    entries = campaign.get("variants") or ()
    limited = {str(entry.get("name")) for entry in entries if entry.get("limits")}
    return tuple(
        Matrix(
            f"{key.connections:,} open connections, {key.active:,} active",
            families,
            tuple(
                Line(name, tuple(_entries(row, families, at, ceilings, limited)))
                for name, row in table.items()
            ),
        )
        for key in sorted(keys, key=lambda key: key.order)
        if (at := {cell.variant: cell for cell in analysis.cells if cell.key == key})
    )


def _twins(campaign: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Return {mechanism: {family: servers}} of mechanisms that two families have in one process."""
    found: dict[str, dict[str, list[str]]] = {}
    for variant in campaign.get("variants") or ():
        family = variant.get("family")
        if family and str(variant.get("workers")) == "1" and not variant.get("same_as"):
            row = found.setdefault(str(variant.get("architecture")), {})
            row.setdefault(str(family), []).append(str(variant.get("name")))
    shared = {name: row for name, row in found.items() if len(row) >= LINES_MIN}
    # A family with one mechanism does not compare mechanisms: the ranked table has its servers.
    wide = [family for row in shared.values() for family in row]
    kept = {family for family in wide if wide.count(family) >= LINES_MIN}
    lines = {
        name: {family: names for family, names in row.items() if family in kept}
        for name, row in sorted(shared.items())
    }
    return {name: row for name, row in lines.items() if len(row) >= LINES_MIN}


def _entries(
    row: Mapping[str, Sequence[str]],
    families: Sequence[str],
    cells: Mapping[str, Cell],
    ceilings: Mapping[str, int | None],
    limited: Collection[str],
) -> Iterator[tuple[Entry, ...]]:
    first = [name for name in row.get(families[0], ()) if name in cells]
    for family in families:
        names = [name for name in row.get(family, ()) if name in cells]
        against = () if family == families[0] else first
        pairs = [(name, _twin(name, against, limited)) for name in names]
        yield tuple(
            _entry(cells[name], cells[twin] if twin else None, ceilings.get(name))
            for name, twin in pairs
        )


def _twin(name: str, candidates: Sequence[str], limited: Collection[str]) -> str | None:
    """Return the server to compare with: first one with the same kind of ceiling, then by name."""
    return min(
        candidates,
        key=lambda one: ((one in limited) != (name in limited), not name.endswith(one)),
        default=None,
    )


def _entry(cell: Cell, twin: Cell | None, ceiling: int | None) -> Entry:
    cost = cell.cpu_us_per_echo
    if cost is None:
        words = f"stops at {ceiling:,}" if ceiling is not None else "stops"
        words = words if cell.status == CellStatus.CAPPED else status_word(cell.status)
        return Entry(cell.variant, words, "")
    return Entry(cell.variant, wording.micros(cost.mean).text, _against(cell, twin))


def _against(cell: Cell, twin: Cell | None) -> str:
    """Return `6.10× (5.90–6.31)`, paired over blocks; with fewer than three, no interval."""
    if twin is None or twin.efficiency is None or cell.efficiency is None:
        return ""
    one = compare(twin.efficiency.series, cell.efficiency.series)
    if one is None:
        logs = twin.efficiency.series.log_ratios(cell.efficiency.series).values()
        return wording.times(math.exp(statistics.fmean(logs))).text if logs else ""
    return f"{wording.times(one.ratio)} ({range_of(one)})"
