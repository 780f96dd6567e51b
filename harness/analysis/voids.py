"""Whether the void trials of a cell make its figure unfit for a ranking. Pure.

A void trial is in no figure: its block is lost for the server, and the intervals get wider. That
alone is no reason to doubt the rest. The cell is unfit as a whole

- where a trial is void for a reason that no busy host can cause, such as a lost connection;
- where more than `VOID_SHARE_MAX` of its trials are void: what made them so may favour some values.
"""

from __future__ import annotations

from harness.analysis.results import Cell
from harness.attempts import EFFECTS, VOID_OF_DISTURBED
from harness.faults import DISTURBED

VOID_SHARE_MAX = 0.25


def is_void(cell: Cell) -> bool:
    """Whether the cell has too many void trials, or one for a reason of the server's own."""
    void = cell.count("void")
    codes = {reason.code for reason in cell.reasons if EFFECTS.get(reason.code) == "void"}
    if void and not codes <= VOID_OF_DISTURBED | {DISTURBED}:
        return True
    return void > VOID_SHARE_MAX * sum(count for _, count in cell.counts)
