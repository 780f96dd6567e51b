"""Render `reports/index.html`: one line for each campaign.

The line comes from the campaign's own report, so a directory that was copied from another host
appears too. A campaign without a report is listed by its `campaign.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.contract.campaign_head import CampaignHead
from harness.report import history
from harness.report.model import Model
from harness.report.page.html import SUMMARY_ID, environment, summary
from harness.report.sections import background
from harness.store import stored_shapes

# The summary is in the head of the page: the harness need not read the charts.
HEAD_BYTES = 65_536
_SUMMARY = re.compile(rf'<script type="application/json" id="{SUMMARY_ID}">(.*?)</script>', re.S)


@dataclass(frozen=True, slots=True)
class Entry:
    """One campaign in the index.

    Attributes:
        href: path of the report, relative to `reports/`; empty without a report.
        history: the result of `history.told`; empty if its page has none.
    """

    campaign: str
    created: str
    profile: str
    state: str
    host: str
    verdict: str
    validity: str
    level: str
    href: str
    history: Mapping[str, Any]


def render(entries: Sequence[Entry]) -> str:
    """Return the index as one HTML file, the latest campaign first."""
    known = [(entry.campaign, entry.created, entry.href, entry.history) for entry in entries]
    return (
        environment()
        .get_template("index.html.j2")
        .render(
            entries=latest_first(entries),
            tracks=history.tracks(known),
            width=history.WIDTH,
            height=history.HEIGHT,
        )
    )


def latest_first(entries: Sequence[Entry]) -> list[Entry]:
    """Order campaigns by their start, then by name, the latest first."""
    return sorted(entries, key=lambda entry: (entry.created, entry.campaign), reverse=True)


def entry(model: Model, href: str) -> Entry:
    """Return the line of a campaign from the model of its report."""
    return _entry(summary(model), href)


def entries(reports: Path) -> list[Entry]:
    """Read the line of every campaign directory under `reports`."""
    found = sorted(reports.glob("*/campaign.json"))
    return [_read(path.parent) for path in found if path.is_file()]


def summary_of(page: str) -> dict[str, Any] | None:
    """Return the summary inside a report; None if there is none or it cannot be read."""
    found = _SUMMARY.search(page)
    try:
        value = stored_shapes.parse(found.group(1)) if found else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _read(directory: Path) -> Entry:
    report = directory / "report.html"
    try:
        with report.open("rb") as file:
            head = file.read(HEAD_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return _without_report(directory)
    known = summary_of(head)
    if known is None:
        return _without_report(directory)
    # By the directory a command finds it, also where it was copied
    known["campaign"] = directory.name
    return _entry(known, f"{quote(directory.name)}/{report.name}")


def _without_report(directory: Path) -> Entry:
    try:
        campaign = stored_shapes.parse((directory / "campaign.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        campaign = {}
    if stored_shapes.problem(campaign, CampaignHead) is not None:
        campaign = {}
    known = {
        "campaign": directory.name,
        "created": background.created(campaign),
        "profile": (campaign.get("profile") or {}).get("name"),
        "state": campaign.get("state"),
        "host": background.host(campaign),
        "verdict": "No report yet.",
        "validity": "not drawn",
        "level": "bad",
    }
    return _entry(known, "")


def _entry(known: dict[str, Any], href: str) -> Entry:
    level = str(known.get("level"))
    return Entry(
        campaign=str(known.get("campaign") or "unnamed"),
        created=str(known.get("created") or ""),
        profile=str(known.get("profile") or ""),
        state=str(known.get("state") or ""),
        host=str(known.get("host") or ""),
        verdict=str(known.get("verdict") or ""),
        validity=str(known.get("validity") or known.get("watermark") or ""),
        level=level if level in ("ok", "warn", "bad") else "bad",
        href=href,
        history=told if isinstance(told := known.get("history"), Mapping) else {},
    )
