"""The example of a report stands alone in the documentation, as one does that was mailed."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "example-report.html"
SCRIPT = ROOT / "harness/report/page/templates/page.js"


def test_every_link_of_the_example_leads_to_a_place_in_it_or_to_its_data() -> None:
    page = EXAMPLE.read_text("utf-8")
    links = re.findall(r'\shref="([^"]*)"', page)
    ids = set(re.findall(r'\sid="([^"]*)"', page))

    assert links
    assert [x for x in links if not x.startswith("data:") and x.removeprefix("#") not in ids] == []


def test_the_example_has_the_script_of_today_so_that_it_opens_as_fast_as_a_report() -> None:
    page = EXAMPLE.read_text("utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert script == SCRIPT.read_text("utf-8")
    assert f"script-src 'sha256-{digest}'" in unescape(page)
