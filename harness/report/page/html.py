"""The page: one file, no request, the same bytes for the same model, whole without its script."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.analysis.findings import Finding, Name
from harness.report.charts import renderer, svg
from harness.report.charts.plots import Figure
from harness.report.model import Model
from harness.report.page.glossary import GLOSSARY
from harness.report.plain_data import data, rounded
from harness.report.sections.background import COLOURS

TEMPLATES = Path(__file__).parent / "templates"
SUMMARY_ID = "c10k-summary"
SCRIPT = (TEMPLATES / "page.js").read_text(encoding="utf-8")
# The page's policy lets this script run and no other, whatever a variant's words contain.
_DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
_TABLE_GAPS = re.compile(r">\s+<(?=/?t[rdhb])")
SCRIPT_HASH = f"'sha256-{_DIGEST}'"


def render(model: Model, render_chart: renderer.Render = renderer.here) -> str:
    """The report as one HTML file."""
    variants = model.variants
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            model=model,
            charts={figure.id: _svg(figure, render_chart) for figure in model.figures},
            summary=_json(summary(model)),
            data=_json(data(model)),
            cells_csv=_data_uri("text/csv", cells_csv(model)),
            glossary=GLOSSARY,
            colours=range(max(COLOURS, len(variants))),
            palette=COLOURS,
            colour_of={variant.name: variant.colour for variant in variants},
            script=Markup(SCRIPT),  # noqa: S704 (ours, from the package)
            script_hash=SCRIPT_HASH,
            summary_id=SUMMARY_ID,
        )
    )
    return _TABLE_GAPS.sub("><", page)


def environment() -> Environment:
    """Jinja2 with everything escaped and nothing undefined."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["sentence"] = sentence
    found.filters["slug"] = slug
    found.filters["code"] = code
    return found


def sentence(finding: Finding) -> Markup:
    """A finding with its names set apart, escaped."""
    return Markup("").join(
        Markup("<strong>{}</strong>").format(part.text)
        if isinstance(part, Name)
        else (part if isinstance(part, str) else part.text)
        for part in finding.parts
    )


def code(words: str) -> Markup:
    """Words with what stands in backticks as code, escaped."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(words.split("`"))
    )


def slug(words: str) -> str:
    """An id made of words: `echoes per second` → `echoes-per-second`."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def summary(model: Model) -> dict[str, Any]:
    """What `index.html` says about the campaign; kept in the page, so that it travels with it."""
    return {
        "campaign": model.campaign,
        "created": model.created,
        "profile": model.profile,
        "state": model.state,
        "host": model.host,
        "verdict": " ".join(model.verdict_lines),
        "validity": model.validity.statement,
        "level": model.validity.level,
        "watermark": model.validity.watermark,
        "history": model.history,
    }


def cells_csv(model: Model) -> str:
    """The aggregates of all cells: one line per variant and cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = (
        *("variant", "scenario", "connections", "active", "payload_bytes", "depth"),
        *("rate_share", "rate_offered_per_s", "closing", "status"),
    )
    figures = ("efficiency", "rate", "cpu_us_per_echo")
    bounds = [f"{name}_{end}" for name in figures for end in ("median", "low", "high")]
    writer.writerow([*names, *bounds, "p50_us", "p99_us", "memory_bytes_per_connection"])
    for cell in model.analysis.cells:
        key = cell.key
        row: list[Any] = [cell.variant, key.scenario, key.connections, key.active]
        row += [key.payload_bytes, key.depth]
        offered = key.rate_offered_per_s if cell.offered_per_s is None else cell.offered_per_s
        row += ["" if one is None else one for one in (key.rate_share, offered, key.closing)]
        row.append(cell.status)
        for name in figures:
            found = getattr(cell, name)
            interval = found.interval if found else None
            row += [found.median if found else ""]
            row += [interval.low, interval.high] if interval else ["", ""]
        row += [cell.latency_us.p50, cell.latency_us.p99] if cell.latency_us else ["", ""]
        total = cell.memory.total if cell.memory else None
        row.append("" if total is None else total)
        writer.writerow([rounded(one) if isinstance(one, float) else one for one in row])
    return out.getvalue()


def _svg(figure: Figure, render_chart: renderer.Render) -> Markup:
    return Markup(svg.svg(figure, render_chart))  # noqa: S704 (the renderer escapes what it draws)


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element that holds it, whatever is in its strings."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704 (escaped above)


def _data_uri(kind: str, text: str) -> str:
    """Percent-encoded: of figures and commas little needs it, base64 costs a third."""
    return f"data:{kind},{quote(text, safe=',:;.-_')}"
