"""One measured cell → valid, noisy, void or capped, with the reasons.

Rule 1: pure. A record (one line of `trials.jsonl`) and what the variant declares go in; a status
and its reasons come out. The report judges again from the raw counters, never from a stored word.
Rule 2: missing evidence is not good evidence. A cell without the counts that prove it is void; a
cell without the counters that would show noise is noisy.
Rule 3: every gate is one row of `gate_table.GATES`, which the report prints as "What was checked".
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract.record import VariantFacts
from harness.contract.statuses import CellStatus
from harness.contract.stored_cell import StoredCell
from harness.gates.gate_table import GATES, Gate

__all__ = ["GATES", "USABLE", "Gate", "Verdict", "judge"]

USABLE = (CellStatus.VALID, CellStatus.NOISY)  # whose figures stand


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates say about one cell: its status, and `(code, text)` of each gate it failed."""

    status: CellStatus
    reasons: tuple[tuple[str, str], ...]


def judge(record: StoredCell, facts: VariantFacts) -> Verdict:
    """Ask every gate that applies; the worst effect is the cell's status.

    A declared ceiling that was reached outranks the gates that it trips, but never a wrong byte.
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
