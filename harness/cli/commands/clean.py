"""`c10k clean`: remove what a killed campaign left behind."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.commands import options
from harness.contract.errors import Exit


@click.command()
@options.backend
@options.reports
def clean(backend: str, reports: Path) -> int:
    """Remove the containers, volumes and processes that a killed campaign left behind."""
    from harness.campaign import launch

    swept = launch.sweep(launch.backend_named(backend), reports)
    for what in swept:
        click.echo(what)
    if not swept:
        click.echo("found nothing to remove")
    return Exit.OK
