"""`c10k list`: list the campaigns with their verdicts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.report import draw

if TYPE_CHECKING:
    from harness.report.index import Entry

WIDTH = 100
INDENT = "    "
VERDICT_MAX = 2 * (WIDTH - len(INDENT)) - 10


@click.command("list")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    metavar="N",
    help="List only the N latest campaigns.",
)
@options.reports
@options.json
def list_(last: int | None, reports: Path, as_json: bool) -> int:
    """List the campaigns with their verdicts, the latest first.

    \b
    c10k list            all campaigns
    c10k list --last 3   the three latest
    """
    from harness.report import index

    found = index.latest_first(index.entries(reports))[:last]
    if as_json:
        click.echo(draw.as_json({"schema": 1, "campaigns": [_document(one) for one in found]}))
    else:
        click.echo(text(found) if found else f"{reports}: no campaigns. `c10k run` makes one.")
    return Exit.OK


def text(found: Sequence[Entry]) -> str:
    """Return a line with name, start, state and validity, then the verdict, for each campaign."""
    width = max(len(one.campaign) for one in found)
    lines = []
    for one in found:
        heading = (f"{one.campaign:{width}}", one.created, one.state, one.validity)
        lines.append("  ".join(part for part in heading if part))
        told = textwrap.shorten(one.verdict, VERDICT_MAX, placeholder=" …")
        lines += textwrap.wrap(told, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    return "\n".join(lines)


def _document(one: Entry) -> dict[str, str]:
    names = ("campaign", "created", "profile", "state", "host", "verdict", "validity")
    return {name: getattr(one, name) for name in names}
