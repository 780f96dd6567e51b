"""Select the attempt that supplies each cell's result. Pure.

Rule 1: if a trial failed outside its server, or if other processes disturbed its server before it
was ready, the whole trial is repeated. The last run that ended counts.
Rule 2: a noisy cell and a void capacity are measured again by themselves, unless only counters that
the kernel always hides are missing. The last attempt at a cell counts, whatever its figures are. A
rule that looked at the figures would select favourable ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from harness.contract.statuses import CellStatus, FailureCode, TrialEnd
from harness.contract.stored_campaign import StoredOutcome
from harness.contract.stored_cell import StoredCell
from harness.gates import GATES
from harness.gates.cpu_checks import PROCESSES
from harness.gates.server_faults import DISTURBED
from harness.plan.scenarios import CALIBRATION

REPEATED_STATUS = CellStatus.NOISY
# The end of a trial whose rates are all shares of an unknown capacity.
NO_CAPACITY = FailureCode.NO_CAPACITY
# Reasons that void a cell when other processes take its CPUs. The reasons in `DISTURBED_BY` show
# that they took them.
VOID_OF_DISTURBED = {"not-reachable", "not-served", "little", "cpu-time", "unaccounted"}
OVERSLEPT = FailureCode.OVERSLEPT  # other processes had all CPU time of the load
# CPU time of no known process can also be that of short-lived processes of others.
DISTURBED_BY = {"load-waited", "shared-cpu", "steal", "unaccounted"}
# A kernel that hides a counter hides it always: no repeat would show it.
NEVER_MENDS = {"counters", "evidence"}
EFFECTS = {gate.code: gate.effect for gate in GATES}


class Attempts:
    """The attempts at the cells of a campaign."""

    def __init__(self, cells: Sequence[StoredCell], outcomes: Sequence[StoredOutcome]) -> None:
        ends = [line for line in outcomes if is_result(line) and not line.repeats]
        self._whole = _last(cells) | _last(ends)
        self._again: dict[tuple[str, int], int] = {}
        for line in outcomes:
            for cell in line.repeats if is_result(line) else ():
                place = (line.trial, cell)
                self._again[place] = max(line.attempt, self._again.get(place, 0))

    def at(self, trial: str, cell: int) -> int:
        """Return the attempt that counts for the cell; 1 if there was none."""
        whole = self._whole.get(trial, 1)
        return max(whole, self._again.get((trial, cell), whole))

    def is_used(self, cell: StoredCell) -> bool:
        """Whether this record supplies its cell's result."""
        return cell.attempt == self.at(cell.trial, cell.cell)

    def used(self, cells: Iterable[StoredCell]) -> list[StoredCell]:
        """Return the records that supply their cells' results."""
        return [cell for cell in cells if self.is_used(cell)]


def to_repeat(
    cells: Sequence[StoredCell],
    outcomes: Sequence[StoredOutcome],
    trial: str,
    *,
    noisy: bool = True,
) -> list[int]:
    """Return the cells of a trial to measure again.

    These are cells that other processes voided, a void capacity, and if asked noisy cells. A void
    capacity is repeated whatever voided it, because without it no share of it can be offered.
    """
    return sorted(
        cell.cell
        for cell in _used_of(cells, outcomes, trial)
        if (noisy and _is_noisy(cell)) or _was_disturbed(cell) or _is_void_capacity(cell)
    )


def has_disturbed(
    cells: Sequence[StoredCell], outcomes: Sequence[StoredOutcome], trial: str
) -> bool:
    """Whether other processes disturbed a cell whose failure would otherwise be its server's."""
    return any(DISTURBED in _codes(cell) for cell in _used_of(cells, outcomes, trial))


def left_out(
    cells: Sequence[StoredCell],
    outcomes: Sequence[StoredOutcome],
    trial: str,
    planned: Sequence[int],
) -> list[int]:
    """Return the planned cells that a trial ended without and that no later attempt measured."""
    ends = [line for line in outcomes if line.trial == trial and is_result(line)]
    if not ends or (ends[-1].outcome != TrialEnd.DONE and ends[-1].code != NO_CAPACITY):
        return []
    known = {cell.cell for cell in _used_of(cells, outcomes, trial)}
    known |= {cell for line in ends for cell in line.repeats}
    return [cell for cell in planned if cell not in known]


def spent(outcomes: Iterable[StoredOutcome]) -> Counter[int]:
    """Return {block: number of attempts that repeated cells, or a trial that was disturbed}."""
    made: Counter[int] = Counter()
    again: set[str] = set()
    for line in outcomes:
        if line.repeats or line.trial in again:
            made[line.block] += 1
        again.discard(line.trial)
        if was_disturbed(line):
            again.add(line.trial)
    return made


def is_result(outcome: StoredOutcome) -> bool:
    """Whether the end of an attempt is a result of its server.

    A resume repeats an attempt that failed before its server or outside it.
    """
    if was_disturbed(outcome):
        return False
    return outcome.code not in (
        FailureCode.BUILD_FAILED,
        FailureCode.NONCONFORMING,
        FailureCode.NOT_AVAILABLE,
    ) and not outcome.code.startswith("load-")


def was_disturbed(outcome: StoredOutcome) -> bool:
    """Whether other processes disturbed a whole attempt, so that its server was not ready."""
    return outcome.code == DISTURBED and outcome.outcome == TrialEnd.FAILED


def is_void_by_host(cell: StoredCell, codes: Collection[str]) -> bool:
    """Whether a busy host can cause every reason that voids the cell.

    CPU time outside a server's control group is not such a reason: a process of the server left
    the group.

    Args:
        codes: the gates that the cell failed.
    """
    if cell.failure_code == OVERSLEPT or DISTURBED in codes:
        return True
    void = {code for code in codes if EFFECTS.get(code) == CellStatus.VOID}
    if "unaccounted" in void and cell.server.charged.source != PROCESSES:
        return False
    return bool(void) and void <= VOID_OF_DISTURBED


def _used_of(
    cells: Sequence[StoredCell], outcomes: Sequence[StoredOutcome], trial: str
) -> list[StoredCell]:
    """Return the records that supply the results of one trial's cells."""
    own = [cell for cell in cells if cell.trial == trial]
    return Attempts(own, [line for line in outcomes if line.trial == trial]).used(own)


def _is_noisy(cell: StoredCell) -> bool:
    """Whether it is noisy for a reason that another attempt may be without."""
    return cell.status == REPEATED_STATUS and _may_mend(cell)


def _may_mend(cell: StoredCell) -> bool:
    codes = _codes(cell)
    return not (codes and codes <= NEVER_MENDS)


def _was_disturbed(cell: StoredCell) -> bool:
    """Whether other processes on its CPUs, as observed, explain every reason that voids it."""
    if cell.failure_code == OVERSLEPT:
        return True
    codes = _codes(cell)
    if DISTURBED in codes:
        return True
    void = {code for code in codes if EFFECTS.get(code) == CellStatus.VOID}
    return bool(void) and void <= VOID_OF_DISTURBED and bool(codes & DISTURBED_BY)


def _codes(cell: StoredCell) -> set[str]:
    """Return the gates that it failed."""
    return {code for code, _ in cell.reasons}


def _is_void_capacity(cell: StoredCell) -> bool:
    is_void = cell.scenario == CALIBRATION and cell.status == CellStatus.VOID
    return is_void and _may_mend(cell)


def _last(lines: Iterable[StoredCell | StoredOutcome]) -> dict[str, int]:
    last: dict[str, int] = {}
    for line in lines:
        last[line.trial] = max(last.get(line.trial, 0), line.attempt)
    return last
