"""The trials of a campaign in their order: capacities first, what was noisy again at once.

Rule 1: what a trial measures is planned, apart from two things that only measuring can tell: rates
that are shares of a capacity, and which cells were noisy. Both are read from the store, so that a
resumed campaign goes on as the first one would have.
Rule 2: repetition is bounded, per trial and (but for capacities) per campaign, and every attempt
stays in the data.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from harness.backends.base import Backend, Prepared, TrialContext
from harness.campaign.progress import Progress
from harness.campaign.trial_run import Outcome, TrialRun, in_turns
from harness.contract.campaign_lines import OutcomeRecord
from harness.contract.statuses import TrialEnd
from harness.contract.stored_campaign import StoredOutcome
from harness.contract.stored_cell import StoredCell
from harness.gates import attempts, calibration
from harness.host.interrupt import shielded
from harness.plan import trial_plan
from harness.plan.capacity import Capacity
from harness.plan.limits import Asked
from harness.plan.scenarios import CALIBRATION
from harness.store.campaign_store import Campaign

if TYPE_CHECKING:
    from harness.campaign.campaign_run import Request

NO_CAPACITY = Outcome(
    outcome=TrialEnd.FAILED,
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
        start_s: float | None = None,
    ) -> None:
        """`start_s`: when the run began whose budget bounds repeats (CLOCK_MONOTONIC); now,
        without it."""
        self._campaign = campaign
        self._request = request
        self._backend = backend
        self._progress = progress
        self._asked = Asked.for_connections(request.profile.at_once_max)
        self._start_s = time.monotonic() if start_s is None else start_s

    def run(
        self,
        trials: Sequence[trial_plan.Trial],
        prepared: Mapping[str, Prepared],
        after_block: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Run those trials whose variant is prepared, each with its repetitions.

        `after_block` gets the number of each block when the last of its trials here has ended.

        Raises:
            HostNotFit: the host grants less than the plan needs.
        """
        ready = [trial for trial in trials if trial_plan.program_of(trial.variant) in prepared]
        begun = 0
        for group, following in pairwise([*self._together(ready), []]):
            place = {
                "index": begun + 1,
                "of": len(ready),
                "beside": len(group),
                "wave": group[0].wave,
                "block": group[0].block,
                "blocks": self._request.blocks_planned,
                "trial": group[0].id,
                "variant": ", ".join(trial.variant for trial in group),
                "left": _about(trial_plan.estimate_s(ready[begun:])),
            }
            begun += len(group)
            self._progress.event("trial", **place)
            self._attempt([trial for trial in group if not self._has_ended(trial)], prepared)
            while disturbed := self._disturbed(group):
                names = ", ".join(trial.variant for trial in disturbed)
                self._progress.event("trial", **place | {"variant": names}, again="all of it")
                self._attempt(disturbed, prepared)
            late = {
                one.id: self._left_out(trial_plan.resolve(one, self._capacities())) for one in group
            }
            lacking = [trial for trial in group if late[trial.id]]
            self._attempt(lacking, prepared, sorted({c for cells in late.values() for c in cells}))
            while cells := self._cells_to_repeat(sound := self._sound(group)):
                where = ", ".join(group[0].cells[cell].label for cell in cells)
                names = ", ".join(trial.variant for trial in sound)
                self._progress.event("trial", **place | {"variant": names}, again=where)
                self._attempt(sound, prepared, cells)
            if group[0].block == trial_plan.CALIBRATION_BLOCK:
                self._note_capacities()
            if not following or following[0].block != group[0].block:
                after_block(group[0].block)

    def missing(self) -> list[trial_plan.Trial]:
        """The trials of the plan that have no result yet, or cells to measure by themselves."""
        trials, capacities = self._request.trials, self._capacities()
        unfinished: list[trial_plan.Trial] = []
        for group in self._together(trials):
            sound = self._sound(group)
            again = sound if self._cells_to_repeat(sound) else []
            unfinished += [one for one in group if one in again or not self._has_ended(one)]
        # Whose capacity is to be measured may have a rate by the time its other trials come
        hopeful = {
            trial.variant for trial in unfinished if trial.block == trial_plan.CALIBRATION_BLOCK
        }
        return [
            trial
            for trial in trials
            if trial in unfinished
            or self._left_out(
                trial
                if trial_plan.program_of(trial.variant) in hopeful
                else trial_plan.resolve(trial, capacities)
            )
        ]

    def end(self, trial: trial_plan.Trial, outcome: Outcome) -> None:
        """Tell how the next attempt at a trial ended, and store it unless the trial has a result.

        A server that does not build any more cannot have its noisy cells measured again, and keeps
        what it has.
        """
        if not self._has_ended(trial):
            with shielded():
                self._store_end(trial, self._begun(trial) + 1, outcome)
        self._tell_end(trial, outcome)

    def _attempt(
        self,
        trials: Sequence[trial_plan.Trial],
        prepared: Mapping[str, Prepared],
        cells: Sequence[int] = (),
    ) -> None:
        """One fresh server for each trial, taken through it or through some of its cells."""
        begun: list[tuple[trial_plan.Trial, int, tuple[int, ...]]] = []
        runs: list[TrialRun] = []
        for trial in trials:
            todo = trial_plan.resolve(trial, self._capacities())
            todo = trial_plan.part(todo, cells) if cells else todo
            if not todo.steps:
                if not cells:  # else it has figures, and this attempt nothing for it
                    self.end(trial, NO_CAPACITY)
                continue
            context = TrialContext(
                campaign=self._campaign.name,
                trial=todo,
                prepared=prepared[trial_plan.program_of(trial.variant)],
                cpus=self._request.split,
                asked=self._asked,
                timeouts=self._request.profile.timeouts,
                workers=self._request.workers,
                spin=self._request.profile.traffic.spin,
                side_by_side=self._is_side_by_side(trial),
            )
            attempt = self._begun(trial) + 1
            run = TrialRun(
                self._backend,
                context,
                attempt=attempt,
                store=self._campaign.append_cell,
                show=self._progress.event,
            )
            begun.append((trial, attempt, (todo.numbers or ()) if cells else ()))
            runs.append(run)
        outcomes = in_turns([run.run() for run in runs])
        # All or none: a block that is cut short is run again as a whole
        ended = [
            (trial, attempt, replace(outcome, repeats=repeats))
            for (trial, attempt, repeats), outcome in zip(begun, outcomes, strict=True)
        ]
        with shielded():
            for trial, attempt, outcome in ended:
                self._store_end(trial, attempt, outcome)
        for trial, _, outcome in ended:
            self._tell_end(trial, outcome)

    def _store_end(self, trial: trial_plan.Trial, attempt: int, outcome: Outcome) -> None:
        line = OutcomeRecord(**_identity(trial), attempt=attempt, **asdict(outcome))
        self._campaign.append_outcome(line.model_dump(by_alias=True))

    def _tell_end(self, trial: trial_plan.Trial, outcome: Outcome) -> None:
        facts = {"outcome": outcome.outcome, "code": outcome.code, "text": outcome.text}
        self._progress.event("outcome", **_identity(trial), **facts)

    def _outcomes(self) -> list[StoredOutcome]:
        return [StoredOutcome.of(line) for line in self._campaign.outcomes()]

    def _cells(self, trials: Iterable[trial_plan.Trial]) -> list[StoredCell]:
        """The records of some trials."""
        ids = {trial.id for trial in trials}
        return [StoredCell.of(line) for line in self._campaign.cells() if line["trial"] in ids]

    def _together(self, trials: Sequence[trial_plan.Trial]) -> list[list[trial_plan.Trial]]:
        return trial_plan.together(trials, side_by_side=self._request.profile.side_by_side)

    def _is_side_by_side(self, trial: trial_plan.Trial) -> bool:
        """Also of one whose neighbours have ended: its windows are to have the shape of theirs."""
        beside = self._request.profile.side_by_side
        return beside and trial.block != trial_plan.CALIBRATION_BLOCK

    def _has_ended(self, trial: trial_plan.Trial) -> bool:
        return any(line.trial == trial.id and attempts.is_result(line) for line in self._outcomes())

    def _left_out(self, rated: trial_plan.Trial) -> list[int]:
        """Which of these cells at shares of a capacity were not measured, since it was unknown."""
        shares = [
            rated.number(position)
            for position, cell in enumerate(rated.cells)
            if cell.rate_share is not None
        ]
        if not shares:
            return []
        return attempts.left_out(self._cells([rated]), self._outcomes(), rated.id, shares)

    def _cells_to_repeat(self, group: Sequence[trial_plan.Trial]) -> list[int]:
        """What to measure again of trials that ran together, in all of them, as long as the bounds
        allow."""
        outcomes = self._outcomes()
        again = Counter(line.trial for line in outcomes if line.repeats)
        profile = self._request.profile
        if not group or any(again[trial.id] >= profile.repeats_max for trial in group):
            return []
        records = self._cells(group)
        noisy = profile.repeat_noisy
        found = (attempts.to_repeat(records, outcomes, one.id, noisy=noisy) for one in group)
        again_cells = sorted({cell for cells in found for cell in cells})
        disturbed = any(attempts.has_disturbed(records, outcomes, trial.id) for trial in group)
        parts = [trial_plan.part(trial, again_cells) for trial in group]
        return again_cells if self._may_repeat(parts, least=len(group) * disturbed) else []

    def _may_repeat(self, trials: Sequence[trial_plan.Trial], *, least: int) -> bool:
        """Whether the campaign's bounds allow one more attempt at these trials or parts of them."""
        return trial_plan.may_repeat(
            self._request.trials,
            attempts.spent(self._outcomes()),
            trials[0].block,
            len(trials),
            least=least,
            left_s=self._left_s(),
            needed_s=trial_plan.estimate_s([*trials, *self._to_come(trials[-1])]),
        )

    def _left_s(self) -> float | None:
        """What is left of the budget, which a resumed campaign has anew; None without one."""
        budget_s = self._request.budget_s
        return None if budget_s is None else budget_s - (time.monotonic() - self._start_s)

    def _to_come(self, last: trial_plan.Trial) -> list[trial_plan.Trial]:
        """The planned trials behind `last` that have no result."""
        trials = self._request.trials
        ended = {line.trial for line in self._outcomes() if attempts.is_result(line)}
        place = next(place for place, trial in enumerate(trials) if trial.id == last.id)
        return [trial for trial in trials[place + 1 :] if trial.id not in ended]

    def _disturbed(self, group: Sequence[trial_plan.Trial]) -> list[trial_plan.Trial]:
        """Those whose server others disturbed before it was ready, as far as the bounds allow."""
        tried = Counter(line.trial for line in self._outcomes() if attempts.was_disturbed(line))
        late = [
            trial
            for trial in group
            if 0 < tried[trial.id] <= self._request.profile.repeats_max
            and not self._has_ended(trial)
        ]
        return late if late and self._may_repeat(late, least=len(late)) else []

    def _sound(self, group: Sequence[trial_plan.Trial]) -> list[trial_plan.Trial]:
        """Those that came to their end and not to a server's fault."""
        last = {line.trial: line.outcome for line in self._outcomes()}
        return [trial for trial in group if last.get(trial.id) == TrialEnd.DONE]

    def _begun(self, trial: trial_plan.Trial) -> int:
        """How many attempts at the trial were begun; one that was cut short keeps its cells."""
        lines = [*self._campaign.cells(), *self._campaign.outcomes()]
        return max((line["attempt"] for line in lines if line["trial"] == trial.id), default=0)

    def _capacities(self) -> dict[str, list[Capacity]]:
        lines = (line for line in self._campaign.cells() if line["scenario"] == CALIBRATION)
        return calibration.of_cells(map(StoredCell.of, lines))

    def _note_capacities(self) -> None:
        """Keep them in `campaign.json` as well, where people look for what a campaign was."""
        found = self._capacities()
        noted = {name: [asdict(one) for one in known] for name, known in found.items()}
        self._campaign.write_head(self._campaign.head().changed(capacities=noted))


def _identity(trial: trial_plan.Trial) -> dict[str, Any]:
    place = {"block": trial.block, "wave": trial.wave}
    return {"trial": trial.id, "variant": trial.variant, **place}


def _about(duration_s: float) -> str:
    if duration_s < 2 * 60:
        return f"about {duration_s:.0f} s"
    return f"about {duration_s / 60:.0f} min"
