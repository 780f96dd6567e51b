"""`c10k open`: open the report of a campaign in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import browser
from harness.cli.commands import options
from harness.contract.errors import Exit, UsageError
from harness.store.campaign_store import LATEST, REPORT_FILE, Campaign


@click.command("open")
@options.campaign_argument("campaign", default=LATEST)
@options.reports
def open_(campaign: str, reports: Path) -> int:
    """Open the report of CAMPAIGN in a browser. Without CAMPAIGN, open the latest.

    \b
    c10k open                          the latest campaign
    c10k open 20260301-140200-quick    a campaign by its name
    """
    from harness.campaign import launch

    opened = Campaign.open(reports, campaign)
    path = opened.directory / REPORT_FILE
    if not path.is_file():
        raise UsageError(
            f"{opened.name} has no report yet", hint=f"`c10k report {opened.name}` draws it."
        )
    click.echo(launch.shown(path))
    browser.show(path)
    return Exit.OK
