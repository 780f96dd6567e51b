"""One run of the harness: prepare the variants, run the missing trials, draw the report.

A new campaign and a resumed one take the same path: what is already in the store is not run again.
"""

from __future__ import annotations

import contextlib
import re
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.backends.base import Backend, Prepared
from harness.campaign import (
    anchoring,
    environment,
    growth,
    server_builds,
    server_entries,
    trial_ends,
    wave_needs,
    xray_trials,
)
from harness.campaign.admission import Admission
from harness.campaign.generator_proof import Prover
from harness.campaign.progress import Progress
from harness.campaign.schedule import Rounds
from harness.campaign.trial_run import Outcome
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import C10kError, EngineGone, Exit, Interrupted, Unproven, UsageError
from harness.contract.statuses import CampaignState, TrialEnd
from harness.doctor.room import of_host
from harness.host import cpus, survey
from harness.host.interrupt import shielded
from harness.plan import trial_plan
from harness.plan.profiles import profile as profiles
from harness.plan.waves import Server, Waves
from harness.store.campaign_store import REPORT_FILE, Campaign, campaigns
from harness.variants.variant_files import Variant

# Bounded, so that a directory that somebody else fills cannot keep us looking for a name.
NAME_TRIES = 100
# How a run may end before its time; all else is a failure of the harness or the host.
STATES = (
    *((kind, CampaignState.INTERRUPTED) for kind in (Interrupted, KeyboardInterrupt, EngineGone)),
    (Unproven, CampaignState.STOPPED),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What `c10k run` was asked for.

    `blocks`: how many blocks it has; those of the profile (`trials`) without it. `budget_s`: how
    long a run of it may take, builds not included; without it nothing bounds that. `keep_going`:
    also where the self-test says that nothing can be ranked. `waves`: how the servers of a block
    are divided; all are up at once without it. `servers_per_wave`: the most of them in a wave.
    `uncut`: the profile before its blocks were cut to the budget.
    """

    profile_name: str
    profile: profiles.Profile
    variants: tuple[Variant, ...]
    seed: int
    workers: int
    argv: tuple[str, ...]
    reports: Path
    cpus_allowed: frozenset[int]
    include_nonconforming: bool = False
    blocks: int | None = None
    budget_s: float | None = None
    servers_per_wave: int | None = None
    keep_going: bool = False
    waves: Waves | None = None
    uncut: profiles.Profile | None = None

    @property
    def split(self) -> cpus.CpuSplit:
        """Which of the allowed CPUs the server gets and which the load."""
        return cpus.split(cpus.cores_of(set(self.cpus_allowed)), self.profile.server_cpus)

    @property
    def connections_needed(self) -> int:
        """The most connections that must be held: a declared ceiling below N is no fault of the
        host's."""
        ceilings = [variant.file.limits for variant in self.variants]
        asked = self.profile.connections_max
        declared = [ceiling.connections_max for ceiling in ceilings if ceiling]
        if len(declared) < len(ceilings):
            return asked
        return min(asked, max(declared, default=asked))

    @property
    def blocks_planned(self) -> int:
        """How many blocks the plan has, block 0 not counted."""
        return self.blocks or self.profile.trials

    @property
    def trials(self) -> list[trial_plan.Trial]:
        """The plan, the same each time it is made."""
        names = [variant.name for variant in self.variants]
        return trial_plan.make(self.profile, names, self.seed, self.blocks, self.waves)

    @property
    def servers(self) -> list[Server]:
        """What a block has, and what each server needs while it is up."""
        twice = self.profile.same_twice
        return wave_needs.servers(self.variants, self.connections_needed, twice)

    @property
    def xrays(self) -> list[trial_plan.Trial]:
        """The trials in which nothing is timed, and system calls are counted."""
        names = [variant.name for variant in self.variants]
        return xray_trials.trials(self.profile, names, self.seed)

    @property
    def profile_json(self) -> dict[str, object]:
        """The profile with its name, as `campaign.json` keeps it."""
        return {"name": self.profile_name, **self.profile.model_dump(mode="json")}


def create(request: Request, backend: Backend) -> Campaign:
    """Write a new campaign with its plan; nothing runs yet."""
    now = datetime.now(tz=UTC)
    head = CampaignHead(
        created_utc=now.isoformat(timespec="seconds"),
        state=CampaignState.RUNNING,
        profile=request.profile_json,
        seed=request.seed,
        argv=list(request.argv),
        workers=request.workers,
        budget_s=request.budget_s,
        backend=backend.name,
        isolated=backend.isolated,
        environment=environment_now(request, backend),
        variants=server_entries.described(request),
        waves=request.waves.kept() if request.waves else None,
        plan=[trial.planned() for trial in request.trials],
        xray_plan=[trial.planned() for trial in request.xrays],
    )
    profile = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(request.profile_name).stem)
    stem = f"{now:%Y%m%d-%H%M%S}-{profile}"
    for attempt in range(1, NAME_TRIES):
        name = stem if attempt == 1 else f"{stem}-{attempt}"
        if not (request.reports / name).exists():
            return Campaign.create(request.reports, name, head)
    raise UsageError(f"{request.reports}: holds {NAME_TRIES} campaigns of this second already")


def run(campaign: Campaign, request: Request, backend: Backend, progress: Progress) -> Exit:
    """Run all trials that have no outcome yet, and the blocks that a look adds; the state on disk
    says how it ended.

    Raises:
        Interrupted: by a signal; everything measured so far is in the store.
        HostNotFit: the host grants less than the plan needs.
        Unproven: nothing can be ranked, and the campaign is not to go on without a ranking.
    """
    start_s = time.monotonic()
    try:
        prover = Prover(
            campaign,
            backend,
            request.split,
            progress,
            spin=request.profile.traffic.spin,
            keep_going=request.keep_going,
        )
        prepared, request = _run_missing(campaign, request, backend, progress, prover, start_s)
        while (more := growth.longer(campaign, request)) is not None:
            first, request = request.blocks_planned + 1, more
            if _measured(campaign) - prepared.keys():  # this run had nothing to do for them yet
                prepared, request = _run_missing(
                    campaign, request, backend, progress, prover, start_s
                )
                continue
            rounds = Rounds(campaign, request, backend, progress, start_s)
            added = [trial for trial in request.trials if trial.block >= first]
            _end_without(campaign, rounds, added, prepared)
            _measure(campaign, request, progress, rounds, prover, added, prepared)
    except BaseException as error:
        if isinstance(error, EngineGone):
            error.hint = f"Start it again, then: c10k run --resume {campaign.name}"
        state = next(
            (state for kind, state in STATES if isinstance(error, kind)), CampaignState.FAILED
        )
        with shielded():
            _tidy_up(error, backend.sweep)
            _tidy_up(error, lambda: update(campaign, state=state))
        raise
    update(campaign, state=CampaignState.DONE)
    return trial_ends.exit_code(campaign.outcomes())


def _run_missing(
    campaign: Campaign,
    request: Request,
    backend: Backend,
    progress: Progress,
    prover: Prover,
    start_s: float,
) -> tuple[dict[str, Prepared], Request]:
    """Prepare, admit and run what has no result yet.

    Returns the servers that were measured, and the request with the anchor that it ran with.
    """
    rounds = Rounds(campaign, request, backend, progress, start_s)
    missing = rounds.missing()
    prepared = _prepare(campaign, request, backend, progress, missing, rounds)
    splits = cpus.splits(cpus.cores_of(set(request.cpus_allowed)), request.profile.server_cpus)
    gate = Admission(campaign, backend, progress, splits, request.include_nonconforming)
    refused = gate.refused(prepared, request.profile.conformance)
    able = prepared.keys() - refused.keys()
    changed = anchoring.changed(
        campaign, request, progress, able, lambda: of_host(survey.limits(), backend.name)
    )
    if changed is not None:
        request = changed
        rounds = Rounds(campaign, request, backend, progress, start_s)
        missing = rounds.missing()
    for trial in missing:
        if (name := trial_plan.program_of(trial.variant)) in refused:
            rounds.end(trial, refused[name])
            prepared.pop(name, None)
    to_run = [trial for trial in missing if trial_plan.program_of(trial.variant) in prepared]
    if request.profile.selftest and to_run:
        prover.before(min(trial.block for trial in to_run))
    # Before the timed trials: as long as one of them is missing, every variant is prepared
    xray_trials.run(campaign, request, backend, progress, prepared)
    _measure(campaign, request, progress, rounds, prover, to_run, prepared)
    return prepared, request


def _measure(
    campaign: Campaign,
    request: Request,
    progress: Progress,
    rounds: Rounds,
    prover: Prover,
    trials: Sequence[trial_plan.Trial],
    prepared: Mapping[str, Prepared],
) -> None:
    """Run trials, and after each block the self-test where it is due, and a look."""

    def after_block(block: int) -> None:
        if request.profile.selftest:
            prover.after(block)
        growth.tell(campaign, request, progress, block)

    rounds.run(trials, prepared, after_block)
    measured = [line["block"] for line in campaign.outcomes() if line["outcome"] == TrialEnd.DONE]
    if request.profile.selftest and measured:
        # An interrupt may have cut short the one behind the last block
        prover.after(max(measured))


def _measured(campaign: Campaign) -> set[str]:
    """The servers that have a trial which came to its end."""
    done = (line for line in campaign.outcomes() if line["outcome"] == TrialEnd.DONE)
    return {trial_plan.program_of(line["variant"]) for line in done}


def _end_without(
    campaign: Campaign,
    rounds: Rounds,
    trials: Sequence[trial_plan.Trial],
    prepared: Mapping[str, Prepared],
) -> None:
    """End the trials of servers that were not measured before, as their earlier ones ended."""
    last = {trial_plan.program_of(line["variant"]): line for line in campaign.outcomes()}
    for trial in trials:
        line = last.get(name := trial_plan.program_of(trial.variant))
        if name not in prepared and line is not None and line["outcome"] == TrialEnd.FAILED:
            rounds.end(trial, Outcome(TrialEnd.FAILED, line["code"], line["text"]))


def _prepare(
    campaign: Campaign,
    request: Request,
    backend: Backend,
    progress: Progress,
    missing: Sequence[trial_plan.Trial],
    rounds: Rounds,
) -> dict[str, Prepared]:
    """Build what is needed; a variant that does not build has its missing trials failed."""
    prepared: dict[str, Prepared] = {}
    progress.say("preparing the load")
    backend.prepare_load(request.profile.timeouts.build_s)
    needed = {trial_plan.program_of(trial.variant) for trial in missing}
    building = server_builds.each(
        backend,
        [variant for variant in request.variants if variant.name in needed],
        request.profile.timeouts.build_s,
        cpus=request.cpus_allowed,
        say=progress.say,
    )
    with contextlib.closing(building) as built:
        for done in built:
            name, one = done.item.name, done.result
            if isinstance(one, Prepared):
                prepared[name] = one
                continue
            if one.log:
                progress.say(f"{one.message}. The last lines of its output:")
                progress.say(textwrap.indent(one.log, "  "))
            outcome = Outcome(
                outcome=TrialEnd.FAILED,
                code=one.code,
                text=f"{one.message}. {one.hint}".strip(),
                log_tail=one.log,
                duration_s=round(done.duration_s, 3),
            )
            for trial in missing:
                if trial_plan.program_of(trial.variant) == name:
                    rounds.end(trial, outcome)
    entries = server_entries.prepare(campaign.head().variants, request, prepared)
    update(campaign, variants=entries, environment=environment_now(request, backend))
    # In the order of the variants: the builds ended in any
    return {one.name: prepared[one.name] for one in request.variants if one.name in prepared}


def environment_now(request: Request, backend: Backend) -> dict[str, object]:
    """What trials that run now would run on."""
    return environment.collect(
        backend.name, request.split, request.cpus_allowed, backend.environment()
    )


def _tidy_up(error: BaseException, step: Callable[[], object]) -> None:
    """Tidying up after `error` must neither hide it nor keep the next step from being taken."""
    try:
        step()
    except Exception as second:
        if not isinstance(error, EngineGone):  # which has said why nothing can be removed
            error.add_note(f"while tidying up: {second}")


def update(campaign: Campaign, **members: object) -> None:
    """Change members of `campaign.json`."""
    campaign.write_head(campaign.head().changed(**members))


def mark_abandoned(reports: Path, redraw: Callable[[Campaign], object]) -> list[str]:
    """Mark campaigns that were killed as interrupted, and draw what has no report yet.

    The caller holds the host's lock, so no campaign that says "running" is. Returns a sentence for
    each of them: what one campaign's report fails on must not keep the next one from starting.
    """
    told = []
    for campaign in campaigns(reports):
        try:
            if campaign.head().state == CampaignState.RUNNING:
                update(campaign, state=CampaignState.INTERRUPTED)
            elif (campaign.directory / REPORT_FILE).is_file():
                continue
            redraw(campaign)
        except UsageError:
            continue  # of another version, or damaged: not ours to mend, and no reason to stop
        except C10kError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise  # an interrupt, a full disk
            told.append(f"{campaign.name} had been killed; it is another user's: {error.message}")
            continue
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            told.append(
                f"{campaign.name} had been killed, and its report cannot be drawn ({why}): "
                f"what it measured is in {campaign.directory}"
            )
            continue
        told.append(f"{campaign.name} had been killed: its report shows what it measured")
    return told
