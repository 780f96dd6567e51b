"""A report as Markdown and as JSON, from the same model as the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.report import columns, shapes, text
from harness.report.columns import escaped
from harness.report.data import compact, data
from harness.report.html import summary
from harness.report.model import Model


def markdown(model: Model) -> str:
    """Verdict, ranked tables and failures, for a pull request."""
    return "\n".join(_markdown(model)) + "\n"


def document(model: Model) -> dict[str, Any]:
    """For programs: what the page says, and the aggregates that it embeds."""
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
        rows = [text.row(one, model) for one in group.rows]
        yield from columns.markdown([text.header(model), *rows], text.LEFT)
    if any(group.rows for group in model.groups):
        yield f"\n{escaped(text.note(model))}"
    yield ""
    yield from shapes.markdown(model.shapes)
    for failure in model.failures:
        yield "\n- " + escaped(f"{failure.trial} failed: {failure.code} {failure.text}")
    yield "\n" + escaped(" · ".join((*model.setting, model.command)))
