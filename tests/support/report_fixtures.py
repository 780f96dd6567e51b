"""Fixtures of many tests: the synthetic campaign, its report and a real browser.

Each imports what it needs: other tests do not wait for that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from harness.report.model import Model

CHROMIUM = Path(os.environ.get("C10K_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def head() -> dict[str, Any]:
    import synthetic

    return synthetic.campaign()


@pytest.fixture(scope="session")
def records(head: dict[str, Any]) -> list[dict[str, Any]]:
    import synthetic

    return synthetic.records(head)


@pytest.fixture(scope="session")
def built(head: dict[str, Any], records: list[dict[str, Any]]) -> Model:
    import synthetic

    from harness.report import model

    return model.build(head, records, synthetic.outcomes(head))


@pytest.fixture(scope="session")
def page_text(built: Model) -> str:
    from harness.report.page import html

    return html.render(built)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM} (C10K_CHROMIUM names another)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()
