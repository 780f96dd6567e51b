"""The synthetic campaign, its report and a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
from playwright.sync_api import Browser, sync_playwright

from harness.report import model
from harness.report.model import Model
from harness.report.page import html

CHROMIUM = Path(os.environ.get("C10K_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def head() -> dict[str, Any]:
    return synthetic.campaign()


@pytest.fixture(scope="session")
def records(head: dict[str, Any]) -> list[dict[str, Any]]:
    return synthetic.records(head)


@pytest.fixture(scope="session")
def built(head: dict[str, Any], records: list[dict[str, Any]]) -> Model:
    return model.build(head, records, synthetic.outcomes(head))


@pytest.fixture(scope="session")
def page_text(built: Model) -> str:
    return html.render(built)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM} (C10K_CHROMIUM names another)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()
