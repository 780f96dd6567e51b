"""`c10k doctor`: check whether this host is fit, and show how to make it fit."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.report import draw

CONNECTIONS_DEFAULT = 10_000


def _complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from harness import doctor as checks

    return [
        CompletionItem(check.name, help=check.question)
        for check in checks.CHECKS
        if check.name.startswith(incomplete)
    ]


@click.command()
@click.argument("checks", nargs=-1, metavar="[CHECK]…", shell_complete=_complete)
@click.option(
    "--connections",
    type=click.IntRange(1, 1_000_000),
    default=CONNECTIONS_DEFAULT,
    show_default=True,
    metavar="N",
    help="Number of connections to hold open.",
)
@options.backend
@click.option("--list-checks", is_flag=True, help="List all checks and run none.")
@options.reports
@options.json
def doctor(
    checks: tuple[str, ...],
    connections: int,
    backend: str,
    list_checks: bool,
    reports: Path,
    as_json: bool,
) -> int:
    """Check whether this host holds N connections, which limit binds, and how to raise it.

    Changes nothing. Without a CHECK it runs all checks.

    \b
    c10k doctor                          is it ready for 10,000 connections?
    c10k doctor --connections 100000     what would 100,000 need?
    c10k doctor nofile map-count         check two limits only
    """
    from harness import doctor as doctors
    from harness.backends import docker_engine
    from harness.host import survey
    from harness.report.text import doctor_answer

    chosen = list(doctors.chosen(checks))
    if list_checks:
        listed = [{"name": check.name, "question": check.question} for check in chosen]
        plain = "\n".join(f"{one['name']:15} {one['question']}" for one in listed)
        click.echo(draw.as_json({"schema": 1, "checks": listed}) if as_json else plain)
        return Exit.OK
    ask = doctors.Ask(connections=connections, backend=backend)
    answer = doctors.examine(survey.read(reports, docker_engine.facts()), ask, checks)
    click.echo(draw.as_json(answer.as_json()) if as_json else doctor_answer.render(answer))
    return Exit.OK if answer.is_ready else Exit.HOST_NOT_FIT
