"""Options that several commands share: one spelling, one default, one help text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.contract.errors import UsageError
from harness.store import campaign_store
from harness.variants import groups, variant_files

Command = Callable[..., Any]
SERVERS_DIR = Path("servers")
SEED = click.IntRange(min=0, max=2**64 - 1)


def servers_dir(command: Command) -> Command:
    """`--servers-dir`: where the variants are."""
    return click.option(
        "--servers-dir",
        type=click.Path(path_type=Path),
        default=SERVERS_DIR,
        show_default=True,
        help="Directory of the variants.",
    )(command)


def _no_file(context: click.Context, _: click.Parameter, reports: Path) -> Path:
    """Refuse a file in the place of the directory before the command does anything."""
    if not context.resilient_parsing:
        campaign_store.require_no_file(reports)
    return reports


def reports(command: Command) -> Command:
    """`--reports`: where the campaigns are."""
    return click.option(
        "--reports",
        type=click.Path(path_type=Path),
        default=Path("reports"),
        envvar="C10K_REPORTS",
        callback=_no_file,
        show_default=True,
        help="Directory of the campaigns.",
    )(command)


def backend(command: Command) -> Command:
    """`--backend`: docker or process."""
    return click.option(
        "--backend",
        type=click.Choice(["docker", "process"]),
        default="docker",
        envvar="C10K_BACKEND",
        show_default=True,
        help="Containers, or plain processes without Docker.",
    )(command)


def json(command: Command) -> Command:
    """`--json`: data for programs instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Data for programs.")(command)


def output_format(*kinds: str, written: str) -> Callable[[Command], Command]:
    """`--format`: the first of `kinds` is the default, and is what `written` says."""
    return click.option(
        "--format",
        "kind",
        type=click.Choice(kinds),
        default=kinds[0],
        show_default=True,
        help=f"{written}; the others go to standard output.",
    )


def complete_servers(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Servers and groups that begin with what is typed, the last of a list with commas."""
    directory = context.params.get("servers_dir") or SERVERS_DIR
    try:
        return groups.complete(variant_files.survey(directory).variants, incomplete)
    except UsageError:  # no completion is offered; the command itself says what is wrong
        return []


def names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    """The names in a list with commas between them."""
    return [name.strip() for name in (value or "").split(",") if name.strip()]
