"""Lay out a comparison as text, Markdown, JSON and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.report.campaign_comparison import HEADER, LEFT, NOTE, Compared, Row
from harness.report.page.html import environment
from harness.report.plain_data import compact
from harness.report.text import columns
from harness.report.text.columns import escaped

DIFFERENCES = ("what differs", "before", "after")


def text(compared: Compared) -> str:
    """Return the comparison for a terminal, without colours, ending in a newline."""
    lines = [f"{compared.before.campaign} → {compared.after.campaign}"]
    lines += [banner.text for banner in compared.banners]
    lines += [compared.verdict.text, ""]
    for name, side in (("before", compared.before), ("after", compared.after)):
        lines.append(f"{name}: {side.campaign}: {side.validity}")
    lines += ["", *columns.aligned(_differing(compared), DIFFERENCES), "", compared.caption]
    lines += columns.aligned([HEADER, *map(_cells, compared.rows)], LEFT)
    return "\n".join([*lines, NOTE]) + "\n"


def markdown(compared: Compared) -> str:
    """Return the comparison as Markdown for a pull request."""
    return "\n".join(_markdown(compared)) + "\n"


def page(compared: Compared) -> str:
    """Return the comparison as one HTML file without requests or scripts."""
    return environment().get_template("compare.html.j2").render(compared=compared, note=NOTE)


def document(compared: Compared) -> dict[str, Any]:
    """Return the comparison for programs."""
    return {
        "schema": 1,
        "before": compact(compared.before),
        "after": compact(compared.after),
        "verdict": compared.verdict.text,
        "level": compared.tone,
        "unlike": compact(compared.unlike),
        "environment": compact(compared.environment),
        "changes": compact(compared.changes),
        "elsewhere": compact(compared.elsewhere),
        "lost": list(compared.lost),
    }


def _markdown(compared: Compared) -> Iterator[str]:
    yield f"**{escaped(compared.verdict.text)}**"
    for banner in compared.banners:
        yield f"\n> ⚠ {escaped(banner.text)}"
    yield f"\n`{compared.before.campaign}` → `{compared.after.campaign}`. {compared.caption}\n"
    yield from columns.markdown([HEADER, *map(_cells, compared.rows)], LEFT)
    yield "\n<details><summary>What else differs</summary>\n"
    yield from columns.markdown(_differing(compared), DIFFERENCES)
    yield "\n</details>\n"
    for name, side in (("Before", compared.before), ("After", compared.after)):
        yield f"- {name}: {escaped(side.validity)}"
    yield f"\n{NOTE}"


def _cells(row: Row) -> tuple[str, ...]:
    before, after = (
        " ".join(filter(None, pair))
        for pair in ((row.before, row.before_interval), (row.after, row.after_interval))
    )
    return (row.variant, before, after, row.change, row.interval, row.outcome)


def _differing(compared: Compared) -> list[tuple[str, ...]]:
    found = [(one.name, one.before, one.after) for one in (*compared.unlike, *compared.environment)]
    return [DIFFERENCES, *(found or [("nothing in environment or sources", "", "")])]
