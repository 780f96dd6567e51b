"""`c10k new`: make a directory for a server of your own, and check it."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.cli.commands import check, options
from harness.contract.errors import Exit
from harness.variants import scaffold, variant_files

# The last line compares the new server with this one, if it exists.
BESIDE = "epoll-lt"


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Choice(scaffold.SOURCES),
    default="empty",
    show_default=True,
    help="Start from a C++ server, a Python one, or the contract only.",
)
@options.backend
@options.servers_dir
@options.reports
@click.option("--no-check", is_flag=True, help="Write the files and do not check them.")
def new(
    name: str, source: str, backend: str, servers_dir: Path, reports: Path, no_check: bool
) -> int:
    """Make servers/NAME from a server that works, and run the quick checks on it.

    \b
    c10k new mine --from epoll-lt                    C++, one epoll set
    c10k new mine --from asyncio --backend process   Python, checked without Docker
    """
    files = scaffold.render(name, source, servers_dir)
    directory = scaffold.write(name, files, servers_dir)
    click.echo(f"{directory}: {', '.join(sorted(files))}")
    variant = variant_files.read(directory)
    code = Exit.OK
    if not no_check:
        found = list(check.check_all([variant], backend, "quick", reports, click.echo))
        code = check.exit_code(found)
    server = next((file for file in sorted(files) if file.startswith("server")), "Dockerfile")
    where = "" if backend == "docker" else f" --backend {backend}"
    if servers_dir != options.SERVERS_DIR:
        where += f" --servers-dir {shlex.quote(str(servers_dir))}"
    click.echo(f"next:\n  edit {directory / server}")
    click.echo(f"  c10k check {name}{where}")
    beside = [one.name for one in variant_files.survey(servers_dir).variants if one.name == BESIDE]
    click.echo(f"  c10k run --servers {','.join([name, *beside])}{where}")
    return code
