"""`c10k run`: run a campaign, or print its plan."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import click

from harness.cli import browser, output
from harness.cli.commands import options
from harness.contract.errors import Exit, HostNotFit
from harness.plan import budget
from harness.plan.profiles import profile as profiles
from harness.plan.waves import SERVERS_MIN
from harness.report import draw
from harness.store import stored_shapes


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
    shell_complete=options.complete_profiles,
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
@click.option(
    "--resume",
    metavar="CAMPAIGN",
    shell_complete=options.complete_campaigns,
    help="Run only the missing trials of a campaign.",
)
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
@click.option("-v", "--verbose", is_flag=True, help="Also print a line for each cell.")
@click.option("--open", "is_opened", is_flag=True, help="Open the report in a browser at the end.")
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
    verbose: bool,
    is_opened: bool,
    servers_dir: Path,
    reports: Path,
    as_json: bool,
) -> int:
    """Run a campaign and draw its report.

    \b
    c10k run                                       the profile quick, in containers
    c10k run --backend process --profile smoke     without Docker
    c10k run --resume 20260301-140200-quick        continue a killed campaign
    c10k run --resume latest --blocks +4           add blocks to settle more pairs
    """
    from harness.campaign import growth, launch, plan_text, progress, resuming
    from harness.doctor.room import of_host
    from harness.host import survey
    from harness.store.campaign_store import Campaign

    added = growth.added(blocks, resumes=bool(resume))
    if resume:
        opened = Campaign.open(reports, resume)
        resume, reports = opened.name, opened.directory.parent
        request = resuming.request_of(
            resume,
            servers_dir=servers_dir,
            reports=reports,
            include_nonconforming=include_nonconforming,
            added=added,
            keep_going=keep_going,
        )
        backend = str(opened.head().backend)
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
        click.echo(draw.as_json(launch.dry_run(request)) if as_json else plan_text.render(request))
        return Exit.OK
    if not as_json:
        output.is_display_only()
    display = progress.Remembering(progress.choose(as_json=as_json, verbose=verbose))
    code = launch.run(request, launch.backend_named(backend), display, resume)
    return _opened(display.report, code) if is_opened else code


def _opened(report: str, code: Exit) -> Exit:
    """Open the report, or say why not; return the exit code of the campaign."""
    try:
        browser.show(Path(report))
    except HostNotFit as error:
        click.echo(f"{error.message}. {error.hint}", err=True)
    return code
