"""The x-ray: one more short trial per variant in which its system calls are counted.

It comes before the timed trials, when every variant is prepared, and is none of them: a tracer
makes every call many times as dear, so its cells are kept in a file of their own, and no rate, time
or memory is taken from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.backends.base import Backend, Prepared, TrialContext
from harness.campaign.progress import Progress
from harness.campaign.trial_run import TrialRun, in_turns
from harness.contract.campaign_lines import XrayRecord
from harness.contract.record import Record
from harness.contract.trial_spec import Cell, Step
from harness.host.interrupt import shielded
from harness.plan import trial_plan
from harness.plan.limits import Asked
from harness.plan.profiles.profile import Profile
from harness.store.campaign_store import Campaign

if TYPE_CHECKING:
    from harness.campaign.campaign_run import Request

SCENARIO = "idle"
CONNECTIONS_MAX = 10_000
# Each active connection has one message under way at most, also where a tracer is attached: in a
# closed loop a server that is held up finds more to read at once than it ever does untraced.
RATE_PER_CONNECTION_PER_S = 2.0
WARMUP_S = 0.1
WINDOW_S = 1.5


def trials(profile: Profile, names: Sequence[str], seed: int) -> list[trial_plan.Trial]:
    """One per variant, with a slow cell at each N of `idle`; none unless the profile asks."""
    planned = {
        cell.connections: min(cell.active, cell.connections)
        for step in trial_plan.steps_of(profile)
        for cell in step.cells
        if cell.scenario == SCENARIO and cell.connections <= CONNECTIONS_MAX
    }
    if not profile.xray or not planned:
        return []
    steps = tuple(_step(profile, connections, active) for connections, active in planned.items())
    return [trial_plan.Trial(f"x-{name}", 0, name, seed, steps) for name in names]


def missing(
    planned: Iterable[trial_plan.Trial], stored: Iterable[Record]
) -> list[trial_plan.Trial]:
    """The trials of which not every cell is stored."""
    known = {(line["variant"], line["cell"]) for line in stored}
    return [
        trial
        for trial in planned
        if not known.issuperset((trial.variant, index) for index in range(len(trial.cells)))
    ]


def run(
    campaign: Campaign,
    request: Request,
    backend: Backend,
    progress: Progress,
    prepared: Mapping[str, Prepared],
) -> None:
    """X-ray the variants that are prepared and of which a cell is missing.

    Raises:
        HostNotFit: the host grants less than the plan needs.
        Interrupted: by a signal; the cells of a variant are stored together or not at all.
    """
    for trial in missing(trials(request.profile, list(prepared), request.seed), campaign.xrays()):
        progress.say(f"x-ray of {trial.variant}")
        context = TrialContext(
            campaign=campaign.name,
            trial=trial,
            prepared=prepared[trial.variant],
            cpus=request.split,
            asked=Asked.for_connections(request.profile.at_once_max),
            timeouts=request.profile.timeouts,
            workers=request.workers,
            xray=True,
        )
        told: list[dict[str, Any]] = []
        run = TrialRun(backend, context, attempt=1, store=told.append, show=progress.event)
        (outcome,) = in_turns([run.run()])
        reason = outcome.text or "the trial ended before it"
        known = {one["cell"]: one for one in told}
        lines = [
            known.get(index) or _unknown(trial, index, cell, reason)
            for index, cell in enumerate(trial.cells)
        ]
        with shielded():
            for line in lines:
                campaign.append_xray(line)
        progress.say(f"x-ray of {trial.variant}: {outcomes(lines)}")


def outcomes(lines: Iterable[Record]) -> str:
    """What counted the calls of these cells, or why nothing did; each said once."""
    said = (
        f"counted by {line['tool']}" if line["tool"] else f"n/a, {line['reason']}" for line in lines
    )
    return "; ".join(dict.fromkeys(said))


def _step(profile: Profile, connections: int, active: int) -> Step:
    cell = Cell(
        scenario=SCENARIO,
        connections=connections,
        active=active,
        payload_bytes=profile.traffic.payload_bytes,
        depth=1,
        rate_per_s=RATE_PER_CONNECTION_PER_S * active,
        warmup_s=WARMUP_S,
        window_s=WINDOW_S,
    )
    return Step(connections, (cell,))


def _unknown(trial: trial_plan.Trial, index: int, cell: Cell, reason: str) -> dict[str, Any]:
    line = XrayRecord(
        variant=trial.variant,
        cell=index,
        scenario=cell.scenario,
        connections_requested=cell.connections,
        active=cell.active,
        payload_bytes=cell.payload_bytes,
        depth=cell.depth,
        rate_offered_per_s=cell.rate_per_s,
        turns=cell.turns,
        tool=None,
        syscalls=None,
        echoes=None,
        reason=reason,
    )
    return line.model_dump(by_alias=True)
