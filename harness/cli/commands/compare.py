"""`c10k compare`: show what changed between two campaigns."""

from __future__ import annotations

import math
from pathlib import Path

import click

from harness.cli.commands import options
from harness.report import draw

PERCENT_MAX = 1_000


def _percent(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):  # every comparison with it is false
        raise click.BadParameter(f"expected 0 to {PERCENT_MAX:,}, got nan")
    return value


@click.command()
@options.campaign_argument("before", metavar="A")
@options.campaign_argument("after", metavar="B")
@click.option("--force", is_flag=True, help="Also compare unlike plans or hosts, under a banner.")
@options.output_format("text", "html", "md", "json", written="html goes next to the report of B")
@click.option(
    "--fail-on-regression",
    type=click.FloatRange(min=0, max=PERCENT_MAX),
    callback=_percent,
    metavar="PCT",
    help="Exit with 5 if a server is slower by PCT % or has no figure.",
)
@options.reports
def compare(
    before: str,
    after: str,
    force: bool,
    kind: str,
    fail_on_regression: float | None,
    reports: Path,
) -> int:
    """Show what changed from campaign A to campaign B.

    \b
    c10k compare A B --format md              for a pull request
    c10k compare A B --fail-on-regression 5   for continuous integration
    """
    from harness.campaign import launch
    from harness.store.campaign_store import Campaign

    one, other = (Campaign.open(reports, name) for name in (before, after))
    compared = draw.compare(one, other, force=force)
    if kind == "html":
        click.echo(compared.verdict.text)
        click.echo(launch.shown(draw.comparison(compared, one, other)))
    else:
        click.echo(draw.comparison_as(kind, compared), nl=False)
    return launch.judged(compared, fail_on_regression)
