"""`c10k run`: run a campaign, or print its plan."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import click

from harness.cli import output
from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.plan import budget
from harness.plan.profiles import profile as profiles
from harness.plan.waves import SERVERS_MIN
from harness.report import draw
from harness.store import stored_shapes


def _complete_profile(*_: Any) -> list[str]:
    return profiles.names()


def _budget_s(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    try:
        return budget.parse(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option(
    "--profile",
    default="quick",
    envvar="C10K_PROFILE",
    show_default=True,
    shell_complete=_complete_profile,
    help=f"Measure {', '.join(profiles.names())}, or a .toml file.",
)
@click.option(
    "--servers",
    callback=options.names,
    envvar="C10K_SERVERS",
    metavar="NAME,…",
    shell_complete=options.complete_servers,
    help="Measure these servers and groups. Default: the profile's.",
)
@options.backend
@click.option(
    "--seed",
    type=options.SEED,
    envvar="C10K_SEED",
    help="Set the seed of all random choices. Default: random.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0, max=stored_shapes.WORKERS_MAX),
    default=0,
    envvar="C10K_WORKERS",
    show_default=True,
    help="Run N Locust workers; 0 runs the load in one process.",
)
@click.option(
    "--budget",
    "budget_s",
    callback=_budget_s,
    envvar="C10K_BUDGET",
    metavar="TIME",
    help="Run as many blocks as fit into 90s, 30m, 2h …",
)
@click.option(
    "--servers-per-wave",
    type=click.IntRange(min=SERVERS_MIN),
    envvar="C10K_SERVERS_PER_WAVE",
    metavar="N",
    help="Run at most N servers side by side. Default: all that fit.",
)
@click.option("--resume", metavar="CAMPAIGN", help="Run only the missing trials of a campaign.")
@click.option(
    "--blocks",
    metavar="+NUMBER",
    help="With --resume: add +4, +8 … blocks to the campaign.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and run nothing.")
@click.option(
    "--include-nonconforming",
    is_flag=True,
    help="Also measure servers that fail a check; never rank them.",
)
@click.option(
    "--keep-going",
    is_flag=True,
    envvar="C10K_KEEP_GOING",
    help="Continue if the self-test shows that nothing can be ranked.",
)
@options.servers_dir
@options.reports
@options.json
def run(
    profile: str,
    servers: list[str],
    backend: str,
    seed: int | None,
    workers: int,
    budget_s: float | None,
    servers_per_wave: int | None,
    resume: str | None,
    blocks: str | None,
    dry_run: bool,
    include_nonconforming: bool,
    keep_going: bool,
    servers_dir: Path,
    reports: Path,
    as_json: bool,
) -> int:
    """Run a campaign and draw its report.

    \b
    c10k run                                       the profile quick, in containers
    c10k run --backend process --profile smoke     without Docker
    c10k run --resume 20260301-140200-quick        continue a killed campaign
    c10k run --resume 20260301-140200-quick --blocks +4    add blocks to settle more pairs
    """
    from harness.campaign import growth, launch, progress, resuming
    from harness.doctor.room import of_host
    from harness.host import survey

    added = growth.added(blocks, resumes=bool(resume))
    if resume:
        request = resuming.request_of(
            resume,
            servers_dir=servers_dir,
            reports=reports,
            include_nonconforming=include_nonconforming,
            added=added,
            keep_going=keep_going,
        )
        reports = request.reports
        backend = _backend_of(resume, reports)
    else:
        request = launch.request_of(
            profile=profile,
            servers=servers,
            servers_dir=servers_dir,
            seed=seed,
            workers=workers,
            reports=reports,
            argv=sys.argv[1:],
            include_nonconforming=include_nonconforming,
            budget_s=budget_s,
            keep_going=keep_going,
            say=functools.partial(click.echo, err=True),
            room=of_host(survey.limits(), backend),
            servers_per_wave=servers_per_wave,
        )
    if dry_run:
        click.echo(draw.as_json(launch.dry_run(request)) if as_json else _plan_text(request))
        return Exit.OK
    if not as_json:
        output.is_display_only()
    display = progress.choose(as_json=as_json)
    return launch.run(request, launch.backend_named(backend), display, resume)


def _backend_of(campaign: str, reports: Path) -> str:
    from harness.store.campaign_store import Campaign

    return str(Campaign.open(reports, campaign).head().backend)


def _plan_text(request: Any) -> str:
    from harness.campaign import launch

    split, planned = request.split, request.blocks_planned
    blocks = f"{planned} block{'s' * (planned > 1)}"
    if request.profile.blocks_max > planned:
        blocks += f", up to {request.profile.blocks_max} if the headline is not settled"
    lines = [
        f"profile {request.profile_name}: {request.profile.summary}",
        f"seed {request.seed}; server on CPU {', '.join(map(str, split.server))}, "
        f"load on CPU {', '.join(map(str, split.load))}; "
        f"{blocks}, about {launch.estimate_s(request) / 60:.1f} min without builds",
    ]
    if waves := request.waves:
        lines.append(f"{waves.sentence}; bounded by {', '.join(waves.because)}")
        members = enumerate(waves.members, start=1)
        lines += [f"wave {number}: {', '.join(names)}" for number, names in members]
    for trial in request.trials:
        cells = ", ".join(f"{cell.scenario}@{cell.connections:,}" for cell in trial.cells)
        lines.append(f"{trial.id}: {cells}")
    return "\n".join(lines)
