"""Give the numbers behind a report as plain data, for the page and for programs.

Rule 1: no data that other files have: single trials are in `trials.jsonl`. A value that was not
observed is null or has no key.
Rule 2: cells are rows under `columns`: repeated names would be most of the bytes.
Rule 3: an estimate is `[mean]`, or `[mean, low, high]` with its 95 % interval. The `key` of a
cell is its place in `keys`.
Rule 4: five significant digits. The page prints three. With two more, rounding again gives the same
third digit, except at a tie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from harness.analysis import settling
from harness.analysis.intervals import Estimate, Interval
from harness.analysis.results import Cell, Contrast, Row
from harness.report.model import Model

DIGITS = 5
# Values that objects leave out: a missing key means the same.
EMPTY: tuple[Any, ...] = (None, (), "")


def data(model: Model) -> dict[str, Any]:
    """Return aggregates and curves of one campaign; data that cells share occurs once."""
    analysis = model.analysis
    largest = _largest_storm(analysis.cells)
    distinct = dict.fromkeys(cell.key for cell in analysis.cells)
    keys = {key: place for place, key in enumerate(distinct)}
    contrasts = {(one.variant, one.key): one for one in analysis.contrasts}
    return {
        "headline": compact(analysis.headline),
        "groups": [
            {
                "workers": group.workers,
                "rows": [_without_cell(row) for row in group.rows],
                "pairs": _columns(map(compact, group.pairs)),
            }
            for group in analysis.groups
        ],
        "looks": compact(analysis.looks),
        "look": compact(analysis.looks.last),
        "settled": settling.settled(analysis),
        "keys": [compact(key) for key in keys],
        "cells": _columns(
            compact(_as_drawn(cell, largest))
            | {"key": keys[cell.key]}
            | _against_best(contrasts.get((cell.variant, cell.key)))
            for cell in analysis.cells
        ),
        "superseded": analysis.superseded,
        "ranked_void": analysis.ranked_void,
    }


def _columns(cells: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the names of all leaves once (`latency_us.p99`), and a row of values for each cell."""
    rows = [dict(_leaves(cell)) for cell in cells]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": names, "rows": [[row.get(name) for name in names] for row in rows]}


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def _without_cell(row: Row) -> dict[str, Any]:
    """Return a row without its cell, which is one of the cells."""
    found: dict[str, Any] = compact(replace(row, cell=None))
    return found


def _against_best(contrast: Contrast | None) -> dict[str, Any]:
    if contrast is None:
        return {}
    return {"against_best": {"best": contrast.best, **compact(contrast.comparison)}}


def compact(value: Any) -> Any:
    """Turn frozen values into lists, objects and rounded numbers."""
    if isinstance(value, Interval):
        return [compact(value.low), compact(value.high)]
    if isinstance(value, Estimate):
        return [compact(value.mean), *(compact(value.interval) or ())]
    if is_dataclass(value) and not isinstance(value, type):
        return compact({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Mapping):
        return {name: compact(one) for name, one in value.items() if one not in EMPTY}
    if isinstance(value, tuple | list):
        return [compact(one) for one in value]
    return rounded(value) if isinstance(value, float) else value


def rounded(value: float, digits: int = DIGITS) -> float | int | None:
    """Return `value` with `digits` significant digits; None if JSON has no such number."""
    if not math.isfinite(value):
        return None
    found = float(f"{value:.{digits - 1}e}")
    return int(found) if found.is_integer() else found


def _largest_storm(cells: tuple[Cell, ...]) -> int:
    """Return the largest number of connections of a ramp: the page draws only this ramp."""
    return max((cell.key.connections for cell in cells if cell.ramp), default=0)


def _as_drawn(cell: Cell, connections: int) -> Cell:
    """Leave out tenths of windows, which `trials.jsonl` has, and ramps that are not drawn."""
    cell = replace(cell, tenths=())
    if cell.ramp is None or cell.key.connections == connections:
        return cell
    return replace(cell, ramp=replace(cell.ramp, timeline=()))
