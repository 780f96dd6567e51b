"""Judge one measured cell: valid, noisy, void or capped, with the reasons.

Rule 1: pure. The input is a record (one line of `trials.jsonl`) and what the server declares; the
output is a status and its reasons. The report judges again from the raw counters, and ignores the
stored status.
Rule 2: a cell without the counts that prove it is void. A cell without the counters that would show
noise is noisy.
Rule 3: every gate is one row of `gate_table.GATES`, which the report prints as "What was checked".
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract.record import VariantFacts
from harness.contract.statuses import CellStatus
from harness.contract.stored_cell import StoredCell
from harness.gates.gate_table import GATES, Gate

__all__ = ["GATES", "USABLE", "Gate", "Verdict", "judge"]

USABLE = (CellStatus.VALID, CellStatus.NOISY)  # statuses whose figures count


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the gates for one cell: its status, and `(code, text)` of each failed gate."""

    status: CellStatus
    reasons: tuple[tuple[str, str], ...]


def judge(record: StoredCell, facts: VariantFacts) -> Verdict:
    """Apply every gate that fits the cell; the worst effect is the cell's status.

    If a declared ceiling was reached, the cell is capped, whatever other gates it failed. Only a
    wrong byte overrides that.
    """
    failed = [
        (gate, text)
        for gate in GATES
        if gate.applies(record)
        and not (gate.needs_server and facts.unseen)
        and (text := gate.check(record, facts)) is not None
    ]
    tripped = {gate.code: text for gate, text in failed}
    if "capped" in tripped and "corrupt" not in tripped:
        return Verdict(CellStatus.CAPPED, (("capped", tripped["capped"]),))
    effects = {gate.effect for gate, _ in failed}
    worst = CellStatus.VOID if CellStatus.VOID in effects else CellStatus.NOISY
    status = worst if effects else CellStatus.VALID
    return Verdict(status, tuple(tripped.items()))
