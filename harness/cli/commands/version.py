"""`c10k version`: print the version."""

from __future__ import annotations

import click

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.report import draw


@click.command()
@options.json
def version(as_json: bool) -> int:
    """Print the version."""
    from importlib.metadata import version as version_of

    number = version_of("c10k")
    click.echo(draw.as_json({"schema": 1, "version": number}) if as_json else f"c10k {number}")
    return Exit.OK
