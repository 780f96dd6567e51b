"""The page on paper: A4 landscape, as Chromium prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from harness.report.model import Model

pytestmark = pytest.mark.browser


def words(title: bytes) -> str:
    """A text of a PDF: in brackets if it is Latin-1, else UTF-16 in hexadecimal."""
    if title.startswith(b"<"):
        return bytes.fromhex(title[1:-1].decode()).decode("utf-16")
    return title[1:-1].decode("latin-1").replace("\\", "")


def test_the_findings_begin_on_the_first_page_and_the_first_charts_share_one(
    browser: Browser, built: Model, page_text: str, tmp_path: Path
) -> None:
    """By the outline of the printed file, whose headings know their page."""
    path = tmp_path / "report.html"
    path.write_text(page_text)
    opened = browser.new_page()
    opened.goto(path.as_uri())
    pdf = opened.pdf(prefer_css_page_size=True, outline=True, tagged=True)
    opened.close()

    pages = re.search(rb"/Type /Pages\s+/Count \d+\s+/Kids \[(\d+) 0 R", pdf)
    headings = re.findall(rb"/Title (\(.*\)|<[0-9A-Fa-f]+>)\s+/Dest \[(\d+) 0 R", pdf)
    assert pages is not None
    places: dict[str, bytes] = {}
    for title, page in headings:
        places.setdefault(re.sub(r"\s", "", words(title)), page)
    shown = [one.statement.text if one.statement else one.title for one in built.figures[:2]]
    found = [places[re.sub(r"\s", "", text)] for text in shown]

    assert places["Findings"] == pages[1]
    assert found[0] == found[1]
