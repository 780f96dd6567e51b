"""Lay out a report as Markdown and as JSON, from the same model as the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.report.model import Model
from harness.report.page.html import summary
from harness.report.plain_data import compact, data
from harness.report.text import columns, shape_lines, terminal_text
from harness.report.text.columns import escaped


def markdown(model: Model) -> str:
    """Return verdict, ranked tables and failures as Markdown for a pull request."""
    return "\n".join(_markdown(model)) + "\n"


def document(model: Model) -> dict[str, Any]:
    """Return the texts of the page and the aggregates that it contains, for programs."""
    return {
        "schema": 1,
        **summary(model),
        "not_ranked": compact(model.analysis.unranked),
        "no_latency": model.no_latency or None,
        "findings": [finding.text for finding in model.findings],
        "failures": compact(model.failures),
        "checks": compact(model.checks),
        "shapes": compact(model.shapes),
        "data": data(model),
    }


def _markdown(model: Model) -> Iterator[str]:
    yield f"### {escaped(model.title)}\n"
    for banner in model.banners:
        yield f"> ⚠ {escaped(banner.text)}\n"
    yield f"**{escaped(' '.join(model.verdict_lines))}**\n"
    yield f"{escaped(model.validity.text)}\n"
    yield escaped(model.caption)
    for group in model.groups:
        yield f"\n{escaped(group.title)}\n" if group.title else ""
        rows = [terminal_text.row(one, model) for one in group.rows]
        yield from columns.markdown([terminal_text.header(model), *rows], terminal_text.LEFT)
    if any(group.rows for group in model.groups):
        yield f"\n{escaped(terminal_text.note(model))}"
    yield ""
    yield from shape_lines.markdown(model.shapes)
    for failure in model.failures:
        yield "\n- " + escaped(f"{failure.trial} failed: {failure.code} {failure.text}")
    yield "\n" + escaped(" · ".join((*model.setting, model.command)))
