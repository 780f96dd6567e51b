"""Decide whether the void trials of a cell make its figure unfit for a ranking. Pure.

A void trial is in no figure: the server loses its block, and the intervals become wider. That alone
does not affect the other trials. The cell as a whole is unfit

- if a trial is void for a reason that no busy host causes, such as a lost connection;
- if more than `VOID_SHARE_MAX` of its measured trials are void, because their cause may favour some
  values.
"""

from __future__ import annotations

from harness.analysis.results import Cell
from harness.contract.statuses import CellStatus

VOID_SHARE_MAX = 0.25


def is_void(cell: Cell) -> bool:
    """Whether the cell has too many void trials, or one for a reason of the server's own."""
    measured = sum(
        cell.count(status) for status in (CellStatus.VOID, CellStatus.VALID, CellStatus.NOISY)
    )
    return bool(cell.void_by_itself) or cell.count(CellStatus.VOID) > VOID_SHARE_MAX * measured
