"""Render the page: one file without requests, complete without its script.

The same model gives the same bytes.
"""

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
from harness.report.charts import draw_svg, renderer
from harness.report.charts.figure_data import Figure
from harness.report.model import Model
from harness.report.page import sparklines
from harness.report.page.glossary import GLOSSARY
from harness.report.plain_data import data, rounded
from harness.report.sections.anchors import status_word

# More findings than that are collapsed: charts follow them.
FINDINGS_MAX = 12
# The markers of the charts' key, in a box of 10 × 10 pixels around 0.
MARKER_PATHS = {
    "circle": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "square": "M-3.5,-3.5h7v7h-7z",
    "triangle-up": "M0,-4L4.5,4H-4.5z",
    "triangle-down": "M0,4L4.5,-4H-4.5z",
    "triangle-right": "M4,0L-4,4.5V-4.5z",
    "triangle-left": "M-4,0L4,4.5V-4.5z",
    "diamond": "M0,-5L3.5,0L0,5L-3.5,0z",
    "cross": "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
}
TEMPLATES = Path(__file__).parent / "templates"
SUMMARY_ID = "c10k-summary"
SCRIPT = (TEMPLATES / "page.js").read_text(encoding="utf-8")
# The page's policy allows this script and no other, whatever a server's texts contain.
_DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
_TABLE_GAPS = re.compile(r">\s+<(?=/?t[rdhb])")
SCRIPT_HASH = f"'sha256-{_DIGEST}'"


def render(model: Model, render_chart: renderer.Render = renderer.here) -> str:
    """Return the report as one HTML file."""
    variants = model.variants
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            model=model,
            charts={figure.id: _svg(figure, render_chart) for figure in model.figures},
            sparks=sparklines.of_cells(model.analysis.cells),
            summary=_json(summary(model)),
            data=_json(data(model)),
            cells_csv=_data_uri("text/csv", cells_csv(model)),
            glossary=GLOSSARY,
            colours=range(len(variants)),
            palette=model.emphasis.palette,
            marker_paths=MARKER_PATHS,
            findings_max=FINDINGS_MAX,
            colour_of={variant.name: variant.colour for variant in variants},
            script=Markup(SCRIPT),  # noqa: S704 (ours, from the package)
            script_hash=SCRIPT_HASH,
            summary_id=SUMMARY_ID,
        )
    )
    return _TABLE_GAPS.sub("><", page)


def environment() -> Environment:
    """Return Jinja2 with automatic escapes; an undefined name is an error."""
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
    found.filters["status_word"] = status_word
    return found


def sentence(finding: Finding) -> Markup:
    """Return a finding as escaped HTML, with its names in bold."""
    return Markup("").join(
        Markup("<strong>{}</strong>").format(part.text)
        if isinstance(part, Name)
        else (part if isinstance(part, str) else part.text)
        for part in finding.parts
    )


def code(words: str) -> Markup:
    """Return words as escaped HTML; words in backticks become code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(words.split("`"))
    )


def slug(words: str) -> str:
    """Make an id from words: `echoes per second` → `echoes-per-second`."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def summary(model: Model) -> dict[str, Any]:
    """Return the campaign's line of `index.html`; the page contains it, so a copy has it too."""
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
    """Return the aggregates of all cells as CSV: one line per server and cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = (
        *("variant", "scenario", "connections", "active", "payload_bytes", "depth"),
        *("rate_share", "rate_offered_per_s", "closing", "status"),
    )
    figures = ("efficiency", "rate", "cpu_us_per_echo")
    bounds = [f"{name}_{end}" for name in figures for end in ("mean", "low", "high")]
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
            row += [found.mean if found else ""]
            row += [interval.low, interval.high] if interval else ["", ""]
        row += [cell.latency_us.p50, cell.latency_us.p99] if cell.latency_us else ["", ""]
        total = cell.memory.total if cell.memory else None
        row.append("" if total is None else total)
        writer.writerow([rounded(one) if isinstance(one, float) else one for one in row])
    return out.getvalue()


def _svg(figure: Figure, render_chart: renderer.Render) -> Markup:
    return Markup(draw_svg.svg(figure, render_chart))  # noqa: S704 (the renderer escapes what it draws)


def _json(value: Any) -> Markup:
    """Return JSON that cannot end its script element, whatever its strings contain."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704 (escaped above)


def _data_uri(kind: str, text: str) -> str:
    """Return a percent-encoded data URI: few characters of CSV need it, base64 costs a third."""
    return f"data:{kind},{quote(text, safe=',:;.-_')}"
