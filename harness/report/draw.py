"""Draw a campaign's report, and the index of all campaigns, from the files of the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.errors import UsageError
from harness.contract.stored_campaign import StoredHead
from harness.gates import proof_coverage
from harness.host import headroom
from harness.store.campaign_store import REPORT_FILE, Campaign, written

if TYPE_CHECKING:
    from harness.report.campaign_comparison import Compared
    from harness.report.model import Model

INDEX_FILE = "index.html"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A report that was written.

    Attributes:
        path: where it is.
        text: its verdict and ranked table for a terminal.
        ranked_void: whether a cell that the ranking needs has a rejected trial.
        unproven: whether failed self-tests leave too few blocks for a ranking.
    """

    path: Path
    text: str
    ranked_void: bool
    unproven: bool


def report(campaign: Campaign) -> Drawn:
    """Write `report.html` of one campaign and `index.html` of all campaigns.

    Raises:
        HostNotFit: a file cannot be written.
    """
    headroom.require()
    from harness.report.charts import renderer

    with renderer.started() as render_chart:
        # pandas takes half a second to import: `c10k servers` must not wait for it.
        from harness.report.page import html
        from harness.report.text import terminal_text as text

        built = model_of(campaign)
        path = campaign.write(REPORT_FILE, html.render(built, render_chart))
    index(campaign.directory.parent, f"c10k report {campaign.name}")
    unranked = built.analysis.unranked
    unproven = unranked is not None and unranked.code == proof_coverage.CODE
    return Drawn(path, text.render(built), built.ranked_void, unproven)


def model_of(campaign: Campaign) -> Model:
    """Compute the model of a campaign's report."""
    from harness.report import model

    head = {**campaign.head().as_json(), "xray": campaign.xrays()}
    return model.build(head, campaign.cells(), campaign.outcomes())


def report_as(kind: str, campaign: Campaign) -> str:
    """Return the report as `md`, `csv`, `trials-csv` or `json`, ending in a newline.

    Writes no file.
    """
    from harness.report.page import html
    from harness.report.text import report_formats, trial_csv

    built = model_of(campaign)
    if kind == "trials-csv":
        lines = campaign.cells(), campaign.outcomes()
        return trial_csv.render(
            campaign.head().as_json(), *lines, with_latency=not built.no_latency
        )
    if kind == "json":
        return as_json(report_formats.document(built)) + "\n"
    layout = {"md": report_formats.markdown, "csv": html.cells_csv}
    return layout[kind](built)


def compare(before: Campaign, after: Campaign, *, force: bool) -> Compared:
    """Compute what changed from one campaign to another.

    Raises:
        UsageError: their plans or hosts differ, and `force` is not given.
    """
    from harness.analysis import two_campaigns
    from harness.report import campaign_comparison as comparison

    heads = before.head().as_json(), after.head().as_json()
    unlike = comparison.differences(two_campaigns.unlike(*map(StoredHead.of, heads)))
    if unlike and not force:
        told = "; ".join(f"{one.name} is {one.before}, then {one.after}" for one in unlike)
        raise UsageError(
            f"{before.name} and {after.name} cannot be compared: {told}",
            hint="Use `--force` to compare them under a banner.",
        )
    return comparison.build((heads[0], model_of(before)), (heads[1], model_of(after)))


def comparison(compared: Compared, before: Campaign, after: Campaign) -> Path:
    """Write the comparison as a page next to the report of `after`; return its path."""
    from harness.report.text import compare_formats

    return after.write(f"compare-{before.name}.html", compare_formats.page(compared))


def comparison_as(kind: str, compared: Compared) -> str:
    """Return the comparison as `text`, `md` or `json`, ending in a newline."""
    from harness.report.text import compare_formats

    if kind == "json":
        return as_json(compare_formats.document(compared)) + "\n"
    layout = {"text": compare_formats.text, "md": compare_formats.markdown}
    return layout[kind](compared)


def as_json(document: Any) -> str:
    """Return a document for programs, as JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def index(reports: Path, again: str) -> Path:
    """Write `index.html`: every campaign in `reports` with its verdict. Return its path.

    `again` is the command that a message names for the next attempt.

    Raises:
        HostNotFit: the file cannot be written.
    """
    from harness.report import index as page

    return written(reports / INDEX_FILE, page.render(page.entries(reports)), again)
