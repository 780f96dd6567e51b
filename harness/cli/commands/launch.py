"""`c10k launch`: run a command in a container of its own, as `docker compose up` does."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.commands import options


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND…")
@options.reports
def launch(arguments: tuple[str, ...], reports: Path) -> int:
    """Run a c10k command in a container outside Compose's project, and follow it.

    \b
    c10k launch run --backend docker     what the service of docker-compose.yml runs
    """
    from harness.backends import docker_engine
    from harness.campaign import own_container

    # The command printed the meaning of its exit code already
    sys.exit(own_container.launch(docker_engine.connected(), arguments, reports))
