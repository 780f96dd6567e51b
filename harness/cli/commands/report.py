"""`c10k report`: draw the report of a campaign again, or print it."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.report import draw


@click.command()
@options.campaign_argument("campaign")
@options.output_format(
    *("html", "md", "csv", "trials-csv", "json"), written="html goes to a file, others to stdout"
)
@options.reports
def report(campaign: str, kind: str, reports: Path) -> int:
    """Draw the report of CAMPAIGN again from its data, or print it.

    \b
    c10k report latest                        writes report.html of the latest campaign
    c10k report latest --format csv           one line per server and cell
    c10k report latest --format trials-csv    one line per server, trial and cell
    """
    from harness.campaign import launch
    from harness.store.campaign_store import Campaign

    opened = Campaign.open(reports, campaign)
    if kind == "html":
        drawn = draw.report(opened)
        click.echo(drawn.text)
        click.echo(launch.shown(drawn.path))
    else:
        click.echo(draw.report_as(kind, opened), nl=False)
    return Exit.OK
