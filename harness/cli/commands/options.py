"""Define the options that several commands share: one spelling, default and help text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.contract.errors import UsageError
from harness.plan.profiles import profile as profiles
from harness.store import campaign_store
from harness.variants import groups, variant_files

Command = Callable[..., Any]
SERVERS_DIR = Path("servers")
SEED = click.IntRange(min=0, max=2**64 - 1)


def servers_dir(command: Command) -> Command:
    """Add `--servers-dir`: where the servers are."""
    return click.option(
        "--servers-dir",
        type=click.Path(path_type=Path),
        default=SERVERS_DIR,
        show_default=True,
        help="Read the servers from this directory.",
    )(command)


def _no_file(context: click.Context, _: click.Parameter, reports: Path) -> Path:
    """Raise UsageError if a file has the name of the directory, before any work."""
    if not context.resilient_parsing:
        campaign_store.require_no_file(reports)
    return reports


def reports(command: Command) -> Command:
    """Add `--reports`: where the campaigns are."""
    return click.option(
        "--reports",
        type=click.Path(path_type=Path),
        default=Path("reports"),
        envvar="C10K_REPORTS",
        callback=_no_file,
        show_default=True,
        help="Keep the campaigns in this directory.",
    )(command)


def backend(command: Command) -> Command:
    """Add `--backend`: docker or process."""
    return click.option(
        "--backend",
        type=click.Choice(["docker", "process"]),
        default="docker",
        envvar="C10K_BACKEND",
        show_default=True,
        help="Use containers, or plain processes without Docker.",
    )(command)


def json(command: Command) -> Command:
    """Add `--json`: data for programs instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(
        command
    )


def output_format(*kinds: str, written: str) -> Callable[[Command], Command]:
    """Add `--format`: the first of `kinds` is the default; `written` says where it goes."""
    return click.option(
        "--format",
        "kind",
        type=click.Choice(kinds),
        default=kinds[0],
        show_default=True,
        help=f"Choose the format: {written}.",
    )


def campaign_argument(name: str, **settings: Any) -> Callable[[Command], Command]:
    """Add an argument that names a campaign."""
    return click.argument(name, shell_complete=complete_campaigns, **settings)


def complete_campaigns(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return `latest` and the campaigns that complete a name, the latest first."""
    directory = Path(context.params.get("reports") or "reports")
    known = campaign_store.latest_first(campaign_store.campaigns(directory))
    names = [campaign_store.LATEST, *(campaign.name for campaign in known)]
    return [name for name in names if name.startswith(incomplete)]


def complete_profiles(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the profiles that complete a name. Without one, the shell completes files."""
    found = [name for name in profiles.names() if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *map(CompletionItem, found)]


def complete_servers(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the servers and groups that complete the last name of a list with commas."""
    directory = context.params.get("servers_dir") or SERVERS_DIR
    try:
        return groups.complete(variant_files.survey(directory).variants, incomplete)
    except UsageError:  # no completion; the command itself reports the error
        return []


def names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    """Split a list with commas into its names."""
    return [name.strip() for name in (value or "").split(",") if name.strip()]
