"""The first screen: its arithmetic, its room, and what stands behind *more*."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
from playwright.sync_api import Browser, Page

from harness.report import model
from harness.report.model import Model
from harness.report.page import html

Lines = list[dict[str, Any]]
UNIT = {"": 1.0, "k": 1e3, "M": 1e6}
NUMBER = r"([\d,.]+) ?([kM]?)"


def bounds(text: str) -> tuple[float, float]:
    """What a printed number can have been before it was rounded."""
    found = re.match(NUMBER, text)
    assert found is not None, text
    digits, suffix = found[1].replace(",", ""), UNIT[found[2]]
    half = 0.5 * 10 ** -len(digits.partition(".")[2])
    return (float(digits) - half) * suffix, (float(digits) + half) * suffix


def agrees(ratio: str, numerator: str, denominator: str) -> bool:
    low, high = bounds(ratio)
    (a, b), (c, d) = bounds(numerator), bounds(denominator)
    return a / d <= high and low <= b / c


def spread(lines: Lines) -> Lines:
    """Trials that vary by a tenth and drift, so that median and mean are far apart."""
    changed = copy.deepcopy(lines)
    factors = itertools.cycle((1.0, 1.11, 0.93, 1.3, 0.87, 1.02, 1.21))
    for line in changed:
        if "cpu_ns" in line["server"]:
            line["server"]["cpu_ns"] = round(line["server"]["cpu_ns"] * next(factors))
    return changed


@pytest.fixture(scope="module")
def uneven() -> Model:
    head = synthetic.campaign(trials=5)
    return model.build(head, spread(synthetic.records(head)), synthetic.outcomes(head))


def test_every_ratio_of_the_table_follows_from_the_rates_next_to_it(uneven: Model) -> None:
    rows = [row for group in uneven.groups for row in group.rows if row.interval]
    best = next(row for row in rows if row.slower == "1.00×" and not row.slower_range)

    assert len(rows) == 5
    for row in rows:
        assert agrees(row.slower, best.efficiency, row.efficiency), row
        assert agrees(row.cpu_us, "1.000 M", row.efficiency), row
        if row.slower_range:
            low, high = map(float, row.slower_range.split("–"))
            assert low <= float(row.slower.rstrip("×")) <= high


def test_the_half_width_is_that_of_the_interval_of_the_printed_rate(uneven: Model) -> None:
    for row in uneven.analysis.rows:
        if (found := row.efficiency) and found.interval and found.half_width:
            assert found.interval.high == pytest.approx(found.mean * (1 + found.half_width))
            assert found.interval.low == pytest.approx(found.mean / (1 + found.half_width))


def test_the_ratio_of_the_verdict_follows_from_its_rates(uneven: Model) -> None:
    first, second = uneven.verdict_lines
    told = re.search(rf": {NUMBER} and {NUMBER} echoes per CPU second \(ratio ([\d.]+)×", first)
    assert told is not None, first

    assert agrees(told[5], f"{told[1]} {told[2]}", f"{told[3]} {told[4]}")
    shown = {row.slower for group in uneven.groups for row in group.rows}
    slower = re.match(r"\S+ is (\S+) slower than \S+ there \(CI ", second)
    assert slower is not None
    assert slower[1] in shown


def test_a_ratio_of_fewer_blocks_than_its_rates_says_so(
    head: dict[str, Any], records: Lines
) -> None:
    head = synthetic.campaign(trials=5)
    lines = synthetic.records(head)
    lost = next(
        line
        for line in lines
        if (line["variant"], line["scenario"], line["connections_requested"])
        == ("poll", "idle", 10_000)
    )
    lost["lost"] = 1

    built = model.build(head, lines, synthetic.outcomes(head))

    rows = {row.variant: row for group in built.groups for row in group.rows}
    assert [note.text for note in rows["poll"].notes[:2]] == ["rejected 1/5", "ratio of 4 blocks"]
    assert not any("ratio of" in note.text for note in rows["select"].notes)


def test_the_notes_are_short_and_lead_to_what_explains_them(built: Model) -> None:
    page = html.render(built)
    notes = [note for group in built.groups for row in group.rows for note in row.notes]

    (capped,) = (note for note in notes if note.tone == "capped")
    assert capped.text == "capped at 1,019"
    assert "FD_SETSIZE is 1024" in capped.told
    for note in notes:
        assert len(note.text) <= 26
        assert f'id="{note.place}"' in page


def test_the_environment_has_no_empty_names_and_no_binary_fractions(
    head: dict[str, Any], records: Lines
) -> None:
    use = {"name": "idle", "connections": [100], "rate_per_s": [], "active": None, "window_s": 0.5}
    profile = head["profile"] | {"scenarios": [use, use | {"rate_share": 0.1 + 0.2}]}
    facts = {
        fact.name: fact.value
        for fact in model.build(
            head | {"profile": profile, "capacities": {"a": 123456.78901234567}}, records, []
        ).facts
    }

    assert facts["profile.scenarios"] == (
        "name=idle connections=100 window_s=0.5; "
        "name=idle connections=100 window_s=0.5 rate_share=0.3"
    )
    assert all(facts.values())
    assert not [text for text in facts.values() if re.search(r"\d\.\d{6}", text)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six servers, all scenarios, and notes of every kind."""
    head = synthetic.campaign(trials=5, paced=True, others=True)
    lines = synthetic.records(head)
    for line in lines:
        if line["variant"] == "poll" and line["block"] == 2 and line["scenario"] == "idle":
            line["lost"] = 1
    found = tmp_path_factory.mktemp("first") / "report.html"
    found.write_text(html.render(model.build(head, lines, synthetic.outcomes(head))))
    return found


@pytest.fixture
def desk(browser: Browser, path: Path) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1260, "height": 800})
    opened.goto(path.as_uri())
    yield opened
    opened.close()


@pytest.fixture
def phone(browser: Browser, path: Path) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 390, "height": 844})
    opened.goto(path.as_uri())
    yield opened
    opened.close()


STOPS = """[...document.querySelectorAll(
  'a[href],button,summary,[tabindex="0"]')].filter(e => e.checkVisibility()).length"""


@pytest.mark.browser
def test_the_answer_the_table_and_its_validity_stand_on_the_first_screen(desk: Page) -> None:
    bottom = "id => document.getElementById(id).getBoundingClientRect().bottom"
    heights = desk.evaluate(
        """() => ['#verdict', '#validity'].map(one => {
          const node = document.querySelector(one);
          return node.getBoundingClientRect().height / parseFloat(getComputedStyle(node).lineHeight)
        })"""
    )

    assert desk.evaluate(bottom, "ranked") < 600
    assert heights[0] <= 3.5
    assert heights[1] < 2


@pytest.mark.browser
def test_the_page_is_short_and_has_few_stops_before_anything_is_opened(desk: Page) -> None:
    assert desk.evaluate("document.documentElement.scrollHeight") <= 8_000
    assert desk.evaluate(STOPS) <= 80
    order = desk.evaluate(
        "[...document.querySelectorAll('h1,h2')].map(e => e.textContent.split(' ')[0])"
    )
    assert order.index("Findings") < order.index("Charts") < order.index("Servers")


@pytest.mark.browser
def test_a_table_is_not_wider_than_its_box_and_has_no_empty_wide_column(desk: Page) -> None:
    desk.evaluate("[...document.querySelectorAll('details')].forEach(d => d.open = true)")
    wide = desk.evaluate(
        """() => {
          const right = node => node.getBoundingClientRect().right;
          return [...document.querySelectorAll('main table')]
            .filter(table => right(table) > right(table.closest('.t,main')) + 1)
            .map(table => table.id || table.closest('.t').ariaLabel);
        }"""
    )
    # Of each column of the shapes: how much of its width the longest line of text takes
    used = desk.evaluate(
        """() => [...document.querySelectorAll('table.shapes tr')].slice(1).map(row =>
          [...row.cells].map(cell => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            return range.getBoundingClientRect().width / cell.clientWidth;
          })).reduce((all, row) => row.map((one, i) => Math.max(one, (all[i] || 0))), [])"""
    )

    assert wide == []
    assert min(used) > 0.5


@pytest.mark.browser
def test_the_contents_stay_in_sight_and_lead_into_collapsed_parts(desk: Page) -> None:
    desk.locator(".contents a", has_text="Checks").click()
    desk.wait_for_timeout(100)

    assert desk.locator(".contents").bounding_box()["y"] == 0  # type: ignore[index]
    assert desk.locator("#checks table").first.is_visible()
    desk.locator("#ranked .badge", has_text="capped").click()
    assert desk.locator("#cell-select-fdset-idle-10000-100-64-1").is_visible()


@pytest.mark.browser
def test_the_keyboard_reaches_a_collapsed_part_and_opens_it(desk: Page) -> None:
    summary = desk.locator("details.part > summary", has_text="Environment")
    summary.focus()
    desk.keyboard.press("Enter")

    assert desk.locator("#environment").is_visible()
    is_there = "document.activeElement.closest('details:has(#method)') !== null"
    for _ in range(120):
        desk.keyboard.press("Tab")
        if desk.evaluate(is_there):
            break
    else:
        pytest.fail("the keyboard does not reach the last part")


@pytest.mark.browser
def test_a_phone_shows_rank_name_rate_and_slower_by_and_what_is_capped(phone: Page) -> None:
    shown = phone.evaluate(
        "[...document.querySelectorAll('#ranked thead th')].filter(e => e.checkVisibility())"
        ".map(e => e.innerText.replace(/\\s+/g, ' ').trim())"
    )
    row = phone.locator("#ranked tr", has_text="select-fdset")

    assert shown == ["rank", "server", "echoes per CPU second", "slower by"]
    assert "capped at 1,019" in row.inner_text()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    # A name breaks at its hyphens only
    lines = phone.locator("#ranked th[scope=row]", has_text="thread").inner_text().split("\n")
    assert all(part in ("", "thread-per-connection") for part in map(str.strip, lines))


@pytest.mark.browser
def test_paper_has_what_the_screen_collapses(browser: Browser, path: Path) -> None:
    opened = browser.new_page(viewport={"width": 1039, "height": 720})
    opened.emulate_media(media="print")
    opened.goto(path.as_uri())
    heights = opened.evaluate(
        """() => ['#environment table', '#checks table', '#ranked-more', '#servers table',
          '#validity li'].map(one => document.querySelector(one).getBoundingClientRect().height)"""
    )
    hidden = opened.locator(".contents").is_visible()
    opened.close()

    assert min(heights) > 8
    assert not hidden
