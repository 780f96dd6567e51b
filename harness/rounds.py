"""The trials of a campaign, one after the other: capacities first, what was noisy again at once.

Rule 1: what a trial measures is planned, apart from two things that only measuring can tell: rates
that are shares of a capacity, and which cells were noisy. Both are read from the store, so that a
resumed campaign goes on as the first one would have.
Rule 2: repetition is bounded, per trial and (but for capacities) per campaign, and every attempt
stays in the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from harness import attempts, capacity, plan
from harness.backends.base import Backend, Prepared, TrialContext
from harness.capacity import Capacity
from harness.interrupt import shielded
from harness.limits import Asked
from harness.progress import Progress
from harness.store import Campaign
from harness.trial import Outcome, TrialRun

if TYPE_CHECKING:
    from harness.campaign import Request

NO_CAPACITY = Outcome(
    outcome="failed",
    code=attempts.NO_CAPACITY,
    text="its capacity could not be measured, so no rate is a share of it",
)


class Rounds:
    """Runs the trials that a campaign's store does not have."""

    def __init__(
        self,
        campaign: Campaign,
        request: Request,
        backend: Backend,
        progress: Progress,
    ) -> None:
        self._campaign = campaign
        self._request = request
        self._backend = backend
        self._progress = progress
        self._asked = Asked.for_connections(request.profile.at_once_max)

    def run(self, trials: Sequence[plan.Trial], prepared: Mapping[str, Prepared]) -> None:
        """Run those trials whose variant is prepared, each with its repetitions.

        Raises:
            HostNotFit: the host grants less than the plan needs.
        """
        for index, trial in enumerate(trials, start=1):
            known = prepared.get(plan.program_of(trial.variant))
            if known is None:
                continue
            place = {
                "index": index,
                "of": len(trials),
                "trial": trial.id,
                "variant": trial.variant,
                "left": _about(plan.estimate_s(trials[index - 1 :])),
            }
            self._progress.event("trial", **place)
            if not self._has_ended(trial):
                self._attempt(trial, known)
            if late := self._left_out(plan.resolve(trial, self._capacities())):
                self._attempt(trial, known, late)
            while cells := self._cells_to_repeat(trial):
                where = ", ".join(trial.cells[cell].label for cell in cells)
                self._progress.event("trial", **place, again=where)
                self._attempt(trial, known, cells)
            if trial.block == plan.CALIBRATION_BLOCK:
                self._note_capacities()

    def missing(self) -> list[plan.Trial]:
        """The trials of the plan that have no result yet, or cells to measure by themselves."""
        trials, capacities = self._request.trials, self._capacities()
        unfinished = [
            trial for trial in trials if not self._has_ended(trial) or self._cells_to_repeat(trial)
        ]
        # Whose capacity is to be measured may have a rate by the time its other trials come
        hopeful = {trial.variant for trial in unfinished if trial.block == plan.CALIBRATION_BLOCK}
        return [
            trial
            for trial in trials
            if trial in unfinished
            or self._left_out(
                trial
                if plan.program_of(trial.variant) in hopeful
                else plan.resolve(trial, capacities)
            )
        ]

    def end(self, trial: plan.Trial, outcome: Outcome) -> None:
        """Store how the next attempt at a trial ended, and tell it."""
        self._end(trial, self._begun(trial) + 1, outcome)

    def _attempt(self, trial: plan.Trial, prepared: Prepared, cells: Sequence[int] = ()) -> None:
        """One fresh server, taken through the trial or through some of its cells."""
        todo = plan.resolve(trial, self._capacities())
        todo = plan.part(todo, cells) if cells else todo
        if not todo.steps:
            self.end(trial, NO_CAPACITY)
            return
        context = TrialContext(
            campaign=self._campaign.name,
            trial=todo,
            prepared=prepared,
            cpus=self._request.split,
            asked=self._asked,
            timeouts=self._request.profile.timeouts,
            workers=self._request.workers,
            spin=self._request.profile.traffic.spin,
        )
        attempt = self._begun(trial) + 1
        outcome = TrialRun(
            self._backend,
            context,
            attempt=attempt,
            store=self._campaign.append_cell,
            show=self._progress.event,
        ).run()
        self._end(trial, attempt, replace(outcome, repeats=tuple(cells)))

    def _end(self, trial: plan.Trial, attempt: int, outcome: Outcome) -> None:
        identity = {"trial": trial.id, "variant": trial.variant, "block": trial.block}
        with shielded():
            self._campaign.append_outcome({**identity, "attempt": attempt, **asdict(outcome)})
        self._progress.event(
            "outcome", **identity, outcome=outcome.outcome, code=outcome.code, text=outcome.text
        )

    def _has_ended(self, trial: plan.Trial) -> bool:
        return any(
            line["trial"] == trial.id and attempts.is_result(line)
            for line in self._campaign.outcomes()
        )

    def _left_out(self, rated: plan.Trial) -> list[int]:
        """Which of these cells at shares of a capacity were not measured, since it was unknown."""
        shares = [
            rated.number(position)
            for position, cell in enumerate(rated.cells)
            if cell.rate_share is not None
        ]
        if not shares:
            return []
        records, outcomes = self._campaign.cells(), self._campaign.outcomes()
        return attempts.left_out(records, outcomes, rated.id, shares)

    def _cells_to_repeat(self, trial: plan.Trial) -> list[int]:
        """What to measure again of it, as long as the bounds allow; nothing of one that failed."""
        outcomes = self._campaign.outcomes()
        own = [line for line in outcomes if line["trial"] == trial.id]
        again = sum(1 for line in own if attempts.repeats(line))
        if not own or own[-1]["outcome"] != "done" or again >= self._request.profile.repeats_max:
            return []
        spent = Counter(line["block"] for line in outcomes if attempts.repeats(line))
        if not plan.may_repeat(self._request.trials, spent, trial.block):
            return []
        return attempts.to_repeat(self._campaign.cells(), outcomes, trial.id)

    def _begun(self, trial: plan.Trial) -> int:
        """How many attempts at the trial were begun; one that was cut short keeps its cells."""
        lines = [*self._campaign.cells(), *self._campaign.outcomes()]
        return max((line["attempt"] for line in lines if line["trial"] == trial.id), default=0)

    def _capacities(self) -> dict[str, list[Capacity]]:
        return capacity.of_records(self._campaign.cells())

    def _note_capacities(self) -> None:
        """Keep them in `campaign.json` as well, where people look for what a campaign was."""
        found = self._capacities()
        noted = {name: [asdict(one) for one in known] for name, known in found.items()}
        self._campaign.write_head({**self._campaign.head(), "capacities": noted})


def _about(duration_s: float) -> str:
    if duration_s < 2 * 60:
        return f"about {duration_s:.0f} s"
    return f"about {duration_s / 60:.0f} min"
