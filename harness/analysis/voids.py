"""Whether the void trials of a cell make its figure unfit for a ranking. Pure.

A void trial is in no figure: its block is lost for the server, and the intervals get wider. That
alone is no reason to doubt the rest. The cell is unfit as a whole

- where a trial is void for a reason that no busy host causes, such as a lost connection;
- where more than `VOID_SHARE_MAX` of its measured trials are void: what made them so may favour
  some values.
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
