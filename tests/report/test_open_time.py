"""How long a report takes to open: what its script costs does not grow with its rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import synthetic
from playwright.sync_api import Browser, CDPSession, Page

from harness.report import model
from harness.report.page import html

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FEW, MANY = 6, 29
OPEN_S_MAX = 10.0
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
COUNTS = ("LayoutCount", "RecalcStyleCount")
# One frame may be drawn between two readings of the counts.
FRAME = 2
# A page is laid out once for each 64 KiB that arrive while it is being parsed.
CHUNK_BYTES = 65_536


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    """Number of servers → a report of that many."""
    toys = synthetic.campaign()
    lines = synthetic.records(toys)
    found = {}
    for count in (FEW, MANY):
        head, records = synthetic.multiplied(toys, lines, count)
        built = model.build(head, records, synthetic.outcomes(head))
        assert len(built.variants) == count
        found[count] = tmp_path_factory.mktemp("reports") / f"{count}.html"
        found[count].write_text(html.render(built))
    return found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1260, "height": 800})
    yield opened
    opened.close()


def counted(session: CDPSession) -> dict[str, float]:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return {one["name"]: one["value"] for one in metrics if one["name"] in COUNTS}


def observed(page: Page) -> CDPSession:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    return session


@pytest.mark.parametrize("count", [FEW, MANY])
def test_the_script_forces_no_layout_and_no_style_whatever_the_number_of_servers(
    browser: Browser, reports: Mapping[int, Path], count: int
) -> None:
    context = browser.new_context(java_script_enabled=False)  # the test runs the script, later
    opened = context.new_page()
    session = observed(opened)
    opened.goto(reports[count].as_uri())
    opened.evaluate("document.body.offsetHeight")  # no frame would call back: scripts are off

    before = counted(session)
    opened.evaluate(html.SCRIPT)
    after = counted(session)
    buttons = opened.locator("th button.sort").count()
    context.close()

    assert buttons > 15 * count
    assert {name: after[name] - before[name] <= FRAME for name in COUNTS} == dict.fromkeys(
        COUNTS, True
    )


def test_a_report_of_29_servers_opens_in_seconds_with_no_more_layouts_than_its_size_explains(
    page: Page, reports: Mapping[int, Path]
) -> None:
    session = observed(page)
    page.set_default_timeout(6 * OPEN_S_MAX * 1e3)
    opened: dict[int, dict[str, float]] = {}
    for count, path in reports.items():
        before, start = counted(session), time.monotonic()
        page.goto(path.as_uri())
        page.evaluate(PAINTED)
        assert time.monotonic() - start <= OPEN_S_MAX
        opened[count] = {name: value - before[name] for name, value in counted(session).items()}

    chunks = (reports[MANY].stat().st_size - reports[FEW].stat().st_size) / CHUNK_BYTES
    for name in COUNTS:
        assert opened[MANY][name] <= opened[FEW][name] + chunks + FRAME


def test_a_pointer_that_moves_from_point_to_point_forces_one_layout_each(
    page: Page, reports: Mapping[int, Path]
) -> None:
    page.goto(reports[MANY].as_uri())
    session = observed(page)
    page.locator("#fig-idle-cpu circle").first.scroll_into_view_if_needed()
    page.evaluate(PAINTED)

    before = counted(session)["LayoutCount"]
    # In one task, so that no frame is drawn between two moves.
    page.evaluate(
        """() => [...document.querySelectorAll('#fig-idle-cpu circle')].slice(0, 10)
        .reduce((last, next) => {
          last?.dispatchEvent(new PointerEvent(
            'pointerout', {bubbles: true, relatedTarget: next}));
          next.dispatchEvent(new PointerEvent(
            'pointerover', {bubbles: true, relatedTarget: last}));
          return next;
        }, null) && null"""
    )
    after = counted(session)["LayoutCount"]

    assert page.locator(".tip").is_visible()
    assert after - before <= 2 * 10 + FRAME
