"""Which attempt of a trial speaks for a cell. Pure: lines of the store in, numbers out.

Rule 1: a trial that ended badly beside its server, or whose server others disturbed before it was
ready, is run again as a whole; the last run that ended counts.
Rule 2: a noisy cell and a void capacity are measured again by themselves, unless nothing but what
the kernel always hides makes them so. The last attempt at a cell counts, whatever it shows: a rule
that looked at the figures would pick the ones it likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from harness.contract.record import Record, number
from harness.contract.statuses import CellStatus, FailureCode, TrialEnd
from harness.contract.stored_cell import StoredCell
from harness.gates import GATES
from harness.gates.cpu_checks import PROCESSES
from harness.gates.server_faults import DISTURBED
from harness.plan.scenarios import CALIBRATION

REPEATED_STATUS = CellStatus.NOISY
# The end of a trial all of whose rates are shares of a capacity that is not known.
NO_CAPACITY = FailureCode.NO_CAPACITY
# Reasons that void a cell when other processes take its CPUs. `DISTURBED_BY` has the reasons that
# show that they took them.
VOID_OF_DISTURBED = {"not-reachable", "not-served", "little", "cpu-time", "unaccounted"}
OVERSLEPT = FailureCode.OVERSLEPT  # the load had no CPU at all: others had it
# Time of no known process may be that of short-lived ones of others, too.
DISTURBED_BY = {"load-waited", "shared-cpu", "steal", "unaccounted"}
# What a kernel hides once it hides always: no repeat would show it.
NEVER_MENDS = {"counters", "evidence"}
EFFECTS = {gate.code: gate.effect for gate in GATES}


class Attempts:
    """The attempts at the cells of a campaign."""

    def __init__(self, records: Sequence[Record], outcomes: Sequence[Record]) -> None:
        ends = [line for line in outcomes if is_result(line) and not repeats(line)]
        self._whole = _last(records) | _last(ends)
        self._again: dict[tuple[str, int], int] = {}
        for line in outcomes:
            for cell in repeats(line) if is_result(line) else ():
                place = (trial_of(line), cell)
                self._again[place] = max(attempt_of(line), self._again.get(place, 0))

    def at(self, trial: str, cell: int) -> int:
        """The attempt that speaks for the cell; 1 where there was none."""
        whole = self._whole.get(trial, 1)
        return max(whole, self._again.get((trial, cell), whole))

    def is_used(self, record: Record) -> bool:
        """Whether the record speaks for its cell."""
        cell = int(number(record, "cell") or 0)
        return attempt_of(record) == self.at(trial_of(record), cell)

    def used(self, records: Iterable[Record]) -> list[Record]:
        """The records that speak for their cells."""
        return [record for record in records if self.is_used(record)]


def to_repeat(
    records: Sequence[Record], outcomes: Sequence[Record], trial: str, *, noisy: bool = True
) -> list[int]:
    """The cells of a trial that others voided at last, a void capacity, and noisy ones if asked.

    Without a capacity no share of it can be offered: it is not asked who voided it.
    """
    attempts = Attempts(records, outcomes)
    return sorted(
        int(record["cell"])
        for record in attempts.used(line for line in records if trial_of(line) == trial)
        if (noisy and _is_noisy(record)) or _was_disturbed(record) or _is_void_capacity(record)
    )


def has_disturbed(records: Sequence[Record], outcomes: Sequence[Record], trial: str) -> bool:
    """Whether others disturbed a cell whose failure would else be its server's fault."""
    used = Attempts(records, outcomes).used(line for line in records if trial_of(line) == trial)
    return any(DISTURBED in _codes(record) for record in used)


def left_out(
    records: Sequence[Record], outcomes: Sequence[Record], trial: str, planned: Sequence[int]
) -> list[int]:
    """Those cells of a trial that it ended without; none that was tried by itself since."""
    ends = [line for line in outcomes if trial_of(line) == trial and is_result(line)]
    if not ends or (
        ends[-1].get("outcome") != TrialEnd.DONE and ends[-1].get("code") != NO_CAPACITY
    ):
        return []
    used = Attempts(records, outcomes).used(line for line in records if trial_of(line) == trial)
    known = {int(record["cell"]) for record in used}
    known |= {cell for line in ends for cell in repeats(line)}
    return [cell for cell in planned if cell not in known]


def repeats(outcome: Record) -> Sequence[int]:
    """The cells that the attempt measured again; empty for one at the whole trial."""
    return outcome.get("repeats") or ()


def spent(outcomes: Iterable[Record]) -> Counter[int]:
    """{block: how many attempts measured cells again, or a trial that others had disturbed}."""
    made: Counter[int] = Counter()
    again: set[str] = set()
    for line in outcomes:
        if repeats(line) or trial_of(line) in again:
            made[int(number(line, "block") or 0)] += 1
        again.discard(trial_of(line))
        if was_disturbed(line):
            again.add(trial_of(line))
    return made


def is_result(outcome: Mapping[str, object]) -> bool:
    """Whether an attempt's end says something of its server; what failed before or beside it is
    run again by a resume."""
    code = str(outcome.get("code") or "")
    if was_disturbed(outcome):
        return False
    return code not in (
        FailureCode.BUILD_FAILED,
        FailureCode.NONCONFORMING,
        FailureCode.NOT_AVAILABLE,
    ) and not code.startswith("load-")


def was_disturbed(outcome: Mapping[str, object]) -> bool:
    """Whether others disturbed a whole attempt: its server did not even get ready in time."""
    return outcome.get("code") == DISTURBED and outcome.get("outcome") == TrialEnd.FAILED


def trial_of(line: Record) -> str:
    """The trial's name, as records, outcomes and the plan spell it."""
    return str(line.get("trial") or line.get("id"))


def attempt_of(line: Record) -> int:
    """The number of the attempt, from 1."""
    return int(number(line, "attempt") or 1)


def _is_noisy(record: Record) -> bool:
    """Whether it is noisy by anything that another time may be without."""
    return record.get("status") == REPEATED_STATUS and _may_mend(record)


def _may_mend(record: Record) -> bool:
    codes = _codes(record)
    return not (codes and codes <= NEVER_MENDS)


def _was_disturbed(record: Record) -> bool:
    """Whether it is void by nothing but what others on its CPUs, who were seen, can do to it."""
    if StoredCell.of(record).failure_code == OVERSLEPT:
        return True
    codes = _codes(record)
    if DISTURBED in codes:
        return True
    void = {code for code in codes if EFFECTS.get(code) == CellStatus.VOID}
    return bool(void) and void <= VOID_OF_DISTURBED and bool(codes & DISTURBED_BY)


def is_void_by_host(record: StoredCell, codes: Collection[str]) -> bool:
    """Whether a busy host can cause all that makes the cell void, by the gates that it failed.

    Time outside a server's control group is no such cause: a server's own process left the group.
    """
    if record.failure_code == OVERSLEPT or DISTURBED in codes:
        return True
    void = {code for code in codes if EFFECTS.get(code) == CellStatus.VOID}
    if "unaccounted" in void and record.server.charged.source != PROCESSES:
        return False
    return bool(void) and void <= VOID_OF_DISTURBED


def _codes(record: Record) -> set[str]:
    """The gates that it failed."""
    return {str(code) for code, _ in record.get("reasons") or ()}


def _is_void_capacity(record: Record) -> bool:
    is_void = record.get("scenario") == CALIBRATION and record.get("status") == CellStatus.VOID
    return is_void and _may_mend(record)


def _last(lines: Iterable[Record]) -> dict[str, int]:
    last: dict[str, int] = {}
    for line in lines:
        trial = trial_of(line)
        last[trial] = max(last.get(trial, 0), attempt_of(line))
    return last
