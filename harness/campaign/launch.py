"""From a command to a finished campaign: lock, sweep, run, draw.

Whatever ends a campaign, its report is drawn from what the store holds; only then does the error go
on to the command line.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import doctor
from harness.backends.base import Backend
from harness.campaign import campaign_run as campaigns
from harness.campaign import growth, resuming, trial_ends, wave_needs, xray_trials
from harness.campaign.campaign_run import Request
from harness.campaign.live_report import Redrawing
from harness.campaign.other_programs_watch import Watching
from harness.campaign.progress import Progress
from harness.contract.errors import C10kError, Exit, Interrupted, UsageError
from harness.contract.statuses import CampaignState
from harness.contract.stored_campaign import StoredHead
from harness.doctor import UNLIMITED
from harness.doctor.room import of_host
from harness.gates import proof_coverage
from harness.host import cpus, headroom, lock, survey
from harness.host.interrupt import shielded, watched
from harness.plan import budget, trial_plan, waves
from harness.plan.profiles import profile as profiles
from harness.report import draw
from harness.report.text import doctor_answer as doctor_text
from harness.store.campaign_store import REPORT_FILE, Campaign
from harness.variants import groups, strict_toml, variant_files

if TYPE_CHECKING:
    from harness.report.campaign_comparison import Compared

SEED_BITS = 32
UNBOUNDED = waves.Amount(*[UNLIMITED] * 4)
# What a campaign does before its trials, as it was measured on two cores: of a server that
# conforms, checked alone. Servers on different cores are checked at once.
CHECKS_S: dict[profiles.Conformance, float] = {"off": 0.0, "quick": 12.0, "full": 40.0}
# Of each further server on the same cores: the full checks of three took 80 s, since idles overlap.
CHECKS_NEXT_S: dict[profiles.Conformance, float] = {"off": 0.0, "quick": 12.0, "full": 20.0}
SELFTEST_S = 10.0


def _of_profile(name: str, loaded: profiles.Profile, found: variant_files.Survey) -> list[str]:
    """The servers that a profile asks for; none means all.

    A shipped profile speaks of the shipped servers: of a directory of other servers it takes all.
    """
    if name.endswith(".toml"):
        return list(loaded.servers)
    here = {variant.name for variant in found.variants} | found.broken.keys()
    return [wanted for wanted in loaded.servers if wanted in here]


def _not_twice(
    name: str,
    loaded: profiles.Profile,
    found: variant_files.Survey,
    chosen: Sequence[variant_files.Variant],
) -> list[str]:
    """A sentence where the server of `same_twice` is not among the chosen ones.

    Raises:
        UsageError: a profile of the user's own names a server that does not exist.
    """
    twice = loaded.same_twice
    if twice is None or twice in (variant.name for variant in chosen):
        return []
    known = sorted({variant.name for variant in found.variants} | found.broken.keys())
    if name.endswith(".toml") and twice not in known:
        raise UsageError(
            f"{name}: `same_twice`: no server `{twice}`{strict_toml.nearest(twice, known)}",
            hint="`c10k servers` lists the servers.",
        )
    return [f"no noise floor: `same_twice` is {twice}, which is not among the servers of this run"]


def request_of(
    *,
    profile: str,
    servers: Sequence[str],
    servers_dir: Path,
    seed: int | None,
    workers: int,
    reports: Path,
    argv: Sequence[str],
    include_nonconforming: bool = False,
    budget_s: float | None = None,
    keep_going: bool = False,
    say: Callable[[str], None] = lambda _: None,
    room: waves.Amount = UNBOUNDED,
    servers_per_wave: int | None = None,
) -> Request:
    """Check everything that was asked for before anything is started.

    A budget, of the profile if not given here, chooses how many blocks the campaign may have. `say`
    gets a line on each server that a group, or the noise floor, lacks.

    Args:
        room: what the host has for servers that are up at once: waves keep within it.
        servers_per_wave: the most of them; that of the profile without it.

    Raises:
        UsageError: the profile, a variant or its file is wrong, or the budget is too small.
    """
    loaded = profiles.load(profile)
    found = variant_files.survey(servers_dir)
    if loaded.side_by_side and workers:
        raise UsageError(
            f"profile `{profile}` has trials side by side, and their load takes no workers",
            hint="Leave out `--workers`, or use a profile without `side_by_side`.",
        )
    if servers_per_wave and not loaded.side_by_side:
        raise UsageError(
            f"profile `{profile}` has one server up at a time, so it has no waves",
            hint="Leave out `--servers-per-wave`, or use a profile with `side_by_side = true`.",
        )
    names = list(servers) or _of_profile(profile, loaded, found)
    chosen = groups.pick(found, names)
    variant_files.require_contexts(chosen)
    for line in (*groups.left_out(found, names), *_not_twice(profile, loaded, found, chosen)):
        say(line)
    request = Request(
        profile_name=profile,
        profile=loaded,
        variants=tuple(chosen),
        seed=random.SystemRandom().getrandbits(SEED_BITS) if seed is None else seed,
        workers=workers,
        argv=tuple(argv),
        reports=reports,
        cpus_allowed=frozenset(os.sched_getaffinity(0)),
        include_nonconforming=include_nonconforming,
        budget_s=loaded.budget_s if budget_s is None else budget_s,
        servers_per_wave=servers_per_wave or loaded.servers_per_wave,
        keep_going=keep_going,
    )
    return planned(request, room)


def planned(request: Request, room: waves.Amount) -> Request:
    """The request in the waves that the room has, with the blocks that its budget has time for.

    It may be planned again for another room: the blocks are those of the uncut profile.

    Raises:
        UsageError: the budget has no time for the blocks that a ranking needs.
    """
    uncut = request.uncut or request.profile
    return _within_budget(_in_waves(replace(request, profile=uncut, uncut=uncut), room))


def _in_waves(request: Request, room: waves.Amount) -> Request:
    if not request.profile.side_by_side:
        return request
    found = waves.decide(request.servers, room, request.servers_per_wave)
    return replace(request, waves=found)


def _of_blocks(request: Request, blocks_max: int) -> Request:
    return replace(request, profile=request.profile.of_blocks(blocks_max))


def _within_budget(request: Request) -> Request:
    """The request with as many blocks as its budget has time for.

    Raises:
        UsageError: that is fewer than a ranking needs.
    """
    if request.budget_s is None:
        return request
    from harness.analysis.intervals import TRIALS_MIN  # pandas comes with it, which takes a second

    least = TRIALS_MIN if request.profile.ranked else 1

    def cost_s(blocks: int) -> float:
        return estimate_s(replace(_of_blocks(request, blocks), blocks=blocks))

    return _of_blocks(request, budget.blocks_within(request.budget_s, least, cost_s))


def backend_named(name: str) -> Backend:
    """The backend, connected.

    Raises:
        HostNotFit: it cannot work here.
    """
    if name == "docker":
        from harness.backends.docker import DockerBackend  # the SDK takes 0.2 s to import

        return DockerBackend()
    from harness.backends.process import ProcessBackend

    return ProcessBackend()


def run(request: Request, backend: Backend, progress: Progress, resume: str | None) -> Exit:
    """Run a campaign to its end and draw its report.

    Raises:
        HostNotFit: the lock is held, or the host grants too little.
        Interrupted: by a signal, after the report of what was measured was drawn.
        Unproven: nothing can be ranked, and the campaign was not to go on without a ranking.
    """
    headroom.require()
    owner = f"c10k run --profile {request.profile_name} in {Path.cwd()}"
    with watched(), lock.held(owner):
        for what in _tidied(backend, request.reports):
            progress.say(what)
        if resume is None and request.waves is not None:
            # What a killed campaign left had its part of the host when the waves were planned
            room = of_host(survey.limits(), backend.name)
            request = planned(request, room)
        answer = _examine(request, backend, progress)
        if resume is None:
            campaign = campaigns.create(request, backend)
        else:
            campaign = Campaign.open(request.reports, resume)
            resuming.require_same(campaign, request, backend)
            growth.write_plan(campaign, request)
        campaigns.update(campaign, state=CampaignState.RUNNING, doctor=answer.as_json())
        progress.say(f"{campaign.name}: {describe(request, backend)}")
        # Compose shows nothing more once it stops the container
        progress.say(f"its report will be {shown(campaign.directory / REPORT_FILE)}")
        # No thread of the harness may run on the server's CPUs, or it would be measured with the
        # server; those of the display inherit this.
        cpus.keep_to(request.split.load)
        try:
            drawing = Redrawing(progress, campaign, estimate_s=estimate_s(request))
            with Watching(drawing, campaign) as display:
                code = campaigns.run(campaign, request, backend, display)
                display.finish()
        except (Exception, Interrupted) as error:
            with shielded():
                try:
                    drawn = _finish(campaign, progress)
                    if isinstance(error, C10kError | Interrupted):
                        error.report = shown(drawn.path)
                except Exception as second:
                    error.add_note(f"the report could not be drawn: {second}")
            raise
        with shielded():
            drawn = _finish(campaign, progress)
        unproven = (
            bool(proof_coverage.why_none(StoredHead.of(campaign.head().as_json()), "ranking"))
            or drawn.unproven
        )
        return Exit.GATE_FAILED if code is Exit.OK and (drawn.ranked_void or unproven) else code


def asked_of_host(request: Request, backend: str) -> doctor.Ask:
    """What the campaign asks of the host at once."""
    groups = trial_plan.together(request.trials, side_by_side=request.profile.side_by_side)
    of = {variant.name: variant.file.architecture for variant in request.variants}
    threaded = (
        [of[trial_plan.program_of(trial.variant)] for trial in at_once].count(wave_needs.THREADED)
        for at_once in groups
    )
    return doctor.Ask(
        connections=request.connections_needed,
        backend=backend,
        server_cpus=request.profile.server_cpus,
        architectures=tuple(of.values()),
        servers=max(map(len, groups)),
        threaded=max(1, *threaded),
    )


def _examine(request: Request, backend: Backend, progress: Progress) -> doctor.Answer:
    """Whether the host holds what the campaign opens; says the warnings.

    Raises:
        HostNotFit: it does not. N is never clamped under the label that was asked for.
    """
    from harness.backends import docker_engine  # the SDK takes 0.2 s to import

    ask = asked_of_host(request, backend.name)
    answer = doctor.examine(survey.read(request.reports, docker_engine.facts()), ask)
    for line in doctor_text.warnings(answer):
        progress.say(line)
    answer.require_ready()
    return answer


def estimate_s(request: Request) -> float:
    """Roughly how many seconds a campaign takes: self-tests, checks, x-ray and trials.

    It leaves out builds and repeats: the harness cannot predict them. Verdicts that are kept from
    an earlier campaign save their checks.
    """
    profile, names = request.profile, [variant.name for variant in request.variants]
    cores = cpus.cores_of(set(request.cpus_allowed))
    rounds = math.ceil(len(names) / len(cpus.splits(cores, profile.server_cpus)))
    checks_s = CHECKS_S[profile.conformance] + CHECKS_NEXT_S[profile.conformance] * (rounds - 1)
    # At the start and after each second block: then each block is next to one
    attempts = 1 + request.blocks_planned // 2
    selftest_s = attempts * SELFTEST_S if profile.selftest else 0.0
    trials = [*xray_trials.trials(profile, names, request.seed), *request.trials]
    return checks_s + selftest_s + trial_plan.estimate_s(trials)


def describe(request: Request, backend: Backend) -> str:
    """One line that says what the campaign is about to do."""
    names = ", ".join(variant.name for variant in request.variants)
    minutes = estimate_s(request) / 60
    apart = f" in {request.waves.sentence}" if request.waves else ""
    return (
        f"profile {request.profile_name}, {request.blocks_planned} block(s) of {names}{apart}; "
        f"backend {backend.name}, seed {request.seed}, about {minutes:.1f} min"
    )


def dry_run(request: Request) -> dict[str, Any]:
    """What a run would do, as data."""
    trials = request.trials
    return {
        "schema": 1,
        "profile": request.profile_json,
        "seed": request.seed,
        "blocks": request.blocks_planned,
        "blocks_max": request.profile.blocks_max,
        "budget_s": request.budget_s,
        "cpus": {"server": request.split.server, "load": request.split.load},
        "waves": request.waves.kept().as_json() if request.waves else None,
        "estimate_s": round(estimate_s(request), 1),
        "trials": [trial.planned().as_json() for trial in trials],
    }


def judged(compared: Compared, percent: float | None) -> Exit:
    """The exit code of a comparison that fails on a regression of `percent`; None: it never does.

    Raises:
        UsageError: there is nothing to judge, which must not pass for "no regression".
    """
    if percent is None:
        return Exit.OK
    regressed = compared.regressed(percent)
    if not regressed and not any(change.comparison for change in compared.changes):
        raise UsageError(
            "no server has three usable trials on both sides, so no regression can be told",
            hint="Compare campaigns of a profile with three trials or more.",
        )
    return Exit.GATE_FAILED if regressed else Exit.OK


def sweep(backend: Backend, reports: Path) -> list[str]:
    """Remove what a killed campaign left, and draw what it measured; a sentence for each.

    Raises:
        HostNotFit: a campaign is running.
    """
    with lock.held("c10k clean"):
        return _tidied(backend, reports)


def _tidied(backend: Backend, reports: Path) -> list[str]:
    removed = [f"removed what an earlier campaign left behind: {what}" for what in backend.sweep()]
    return removed + campaigns.mark_abandoned(reports, draw.report)


def _finish(campaign: Campaign, progress: Progress) -> draw.Drawn:
    """Draw the report and print what it says."""
    drawn = draw.report(campaign)
    progress.say(drawn.text)
    if failed := trial_ends.failed(campaign.outcomes()):
        told = ", ".join(f"{name} ({code})" for name, code in failed.items())
        progress.say(f"Failed: {told}. `c10k explain CODE` says what to do.")
    if without := trial_ends.inconclusive(campaign.outcomes()):
        told = ", ".join(f"{name} ({code})" for name, code in without.items())
        progress.say(f"No verdict on {told}. `c10k explain CODE` says what to do.")
    progress.say(f"Data: {shown(campaign.directory)}/trials.jsonl")
    progress.event("report", path=shown(drawn.path))
    progress.say(shown(drawn.path))
    return drawn


def shown(path: Path) -> str:
    """A path as a person on the host can use it: relative to here where that is possible."""
    absolute = path.resolve()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
