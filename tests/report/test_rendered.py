"""The report of a known campaign is the same, to the byte, as when it was stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rendered

AGAIN = "If this is meant: PYTHONPATH=bench python tests/support/rendered.py"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered.laid_out(tmp_path_factory.mktemp("rendered") / "reports")


def test_the_tables_of_known_campaigns_are_the_stored_ones(reports: Path) -> None:
    for name, text in rendered.texts(reports).items():
        assert text == (rendered.STORED / f"{name}.golden").read_text(), AGAIN


def test_pages_data_and_comparisons_are_the_stored_ones(reports: Path) -> None:
    assert rendered.digests(reports) == json.loads(rendered.DIGESTS.read_text()), AGAIN
