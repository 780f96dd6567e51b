"""The example of a report stands alone in the documentation, as one does that was mailed."""

from __future__ import annotations

import re
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "example-report.html"


def test_every_link_of_the_example_leads_to_a_place_in_it_or_to_its_data() -> None:
    page = EXAMPLE.read_text("utf-8")
    links = re.findall(r'\shref="([^"]*)"', page)
    ids = set(re.findall(r'\sid="([^"]*)"', page))

    assert links
    assert [x for x in links if not x.startswith("data:") and x.removeprefix("#") not in ids] == []
