"""The page in real Chromium: offline, readable without JavaScript, nothing cut off."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import synthetic
from playwright.sync_api import Browser, Page

from harness.report import campaign_comparison, index, model
from harness.report.model import Model
from harness.report.page import html
from harness.report.text import compare_formats

pytestmark = pytest.mark.browser
TIMEOUT_MS = 30_000
WIDTHS = {"desk": (1260, 800), "phone": (390, 844)}


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, page_text: str) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_text)
    return path


@pytest.fixture(scope="session")
def paced_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With charts of every scenario, and with twins in two languages."""
    head = synthetic.campaign(paced=True, others=True)
    for variant in head["variants"]:
        variant |= {"family": "Python" if variant["name"].startswith("epoll") else "C++"}
    for name, architecture in (("epoll-lt", "poll"), ("epoll-et", "select")):
        variant = next(one for one in head["variants"] if one["name"] == name)
        variant["architecture"] = architecture
    built = model.build(head, synthetic.records(head), synthetic.outcomes(head))
    assert built.matrices
    path = tmp_path_factory.mktemp("paced") / "report.html"
    path.write_text(html.render(built))
    return path


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(WIDTHS))
def page(request: pytest.FixtureRequest, browser: Browser, scheme: str) -> Iterator[Page]:
    """A page without JavaScript for the page itself; the test may still ask it questions."""
    width, height = WIDTHS[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=False,
    )
    context.set_default_timeout(TIMEOUT_MS)
    yield context.new_page()
    context.close()


def test_it_makes_no_request_and_reports_nothing_wrong(page: Page, report: Path) -> None:
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(report.as_uri(), wait_until="networkidle")

    assert requests == [report.as_uri()]
    assert complaints == []


def test_it_reads_without_javascript(page: Page, report: Path, built: Model) -> None:
    page.goto(report.as_uri())

    words = " ".join(page.inner_text("main").split())
    assert len(words) > 3_000
    assert all(line in words for line in built.verdict_lines)


def test_nothing_is_wider_than_the_window(page: Page, report: Path) -> None:
    page.goto(report.as_uri())

    assert page.viewport_size is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_charts_take_their_colours_from_the_page(page: Page, report: Path, scheme: str) -> None:
    page.goto(report.as_uri())

    colour = page.evaluate(
        "getComputedStyle(document.querySelector('svg.chart [stroke=\"var(--s0)\"]')).stroke"
    )

    assert colour == {"light": "rgb(2, 76, 165)", "dark": "rgb(72, 194, 255)"}[scheme]


def test_text_has_enough_contrast(page: Page, report: Path) -> None:
    """WCAG AA: 4.5 for every colour that writes text, the names of the lines among them."""
    page.goto(report.as_uri())

    ratios = page.evaluate(
        """() => {
          const probe = document.body.appendChild(document.createElement('i'));
          const light = name => {
            probe.style.color = `var(--${name})`;
            const rgb = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number);
            const [r, g, b] = rgb.map(c => (c /= 255) <= .04045 ? c / 12.92
              : ((c + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b;
          };
          const names = ['ink', 'muted', 'link', 'ok', 'warn', 'bad'];
          for (let i = 0; i < 8; i++) names.push('c' + i);
          const contrast = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
          return names.map(name => [name, contrast(light(name), light('bg'))]);
        }"""
    )

    assert [name for name, ratio in ratios if ratio < 4.5] == []


def test_verdict_validity_setting_and_table_are_on_the_first_screen(
    browser: Browser, report: Path
) -> None:
    opened = browser.new_page(viewport={"width": 1260, "height": 800})
    opened.goto(report.as_uri())

    bottom = opened.evaluate("document.querySelector('#ranked').getBoundingClientRect().bottom")

    assert opened.locator("#verdict").is_visible()
    assert opened.locator("#validity").is_visible()
    assert bottom <= 800
    opened.close()


def test_a_row_under_the_pointer_dims_the_other_lines(browser: Browser, report: Path) -> None:
    opened = browser.new_page(viewport={"width": 1260, "height": 800})
    opened.goto(report.as_uri())
    opacity = (
        "[...document.querySelectorAll('svg.chart [stroke^=\"var(--s\"]')]"
        ".map(e => [e.getAttribute('stroke'), getComputedStyle(e).opacity])"
    )
    before = {shown for _, shown in opened.evaluate(opacity)}

    opened.locator('.ranked [data-v="2"]').hover()
    after = opened.evaluate(opacity)
    opened.close()

    assert "0.12" not in before
    assert {stroke for stroke, shown in after if shown != "0.12"} == {"var(--s2)"}


def test_without_a_script_too_a_row_under_the_pointer_dims_the_other_lines(
    browser: Browser, report: Path
) -> None:
    context = browser.new_context(
        viewport={"width": 1260, "height": 800}, java_script_enabled=False
    )
    opened = context.new_page()
    opened.goto(report.as_uri())

    opened.locator('.ranked [data-v="2"]').hover()
    shown = opened.evaluate(
        "[...document.querySelectorAll('svg.chart [stroke^=\"var(--s\"]')]"
        ".map(e => [e.getAttribute('stroke'), getComputedStyle(e).opacity])"
    )
    context.close()

    assert {stroke for stroke, opacity in shown if opacity != "0.12"} == {"var(--s2)"}


@pytest.fixture
def live(browser: Browser, report: Path) -> Iterator[Page]:
    """The page with its script, which must not complain."""
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": 1260, "height": 800})
    opened.set_default_timeout(TIMEOUT_MS)
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(report.as_uri())
    yield opened
    opened.close()
    assert complaints == []


def servers(page: Page) -> list[str]:
    return [name.strip() for name in page.locator("#ranked tbody th:visible").all_inner_texts()]


def test_a_table_is_sorted_by_its_column_and_what_has_no_number_stays_below(live: Page) -> None:
    button = live.get_by_role("button", name="sort by KiB per connection").first

    button.click()
    up = servers(live)
    button.click()
    down = servers(live)

    assert up[-1] == down[-1] == "select-fdset"
    assert up[-2] == down[0] == "thread-per-connection"
    assert up[:-1] == down[-2::-1]
    head = live.locator("#ranked th[aria-sort=descending]")
    assert head.inner_text().startswith("KiB per connection")
    assert live.url.endswith("#sort=ranked.4.descending")


def test_a_sort_button_is_named_by_the_words_of_its_header(live: Page) -> None:
    """Those inside a closed `<details>` too, where innerText is empty."""
    names = live.evaluate(
        """() => [...document.querySelectorAll('th button.sort')].map(button => {
          const {innerText} = button.parentElement;
          return [button.getAttribute('aria-label'), innerText.replace(/[\\s]+/g, ' ').trim()];
        })"""
    )

    shown = [(name, words) for name, words in names if words]
    assert len(names) > len(shown) > 4
    assert ("sort by echoes per CPU second", "echoes per CPU second") in shown
    assert [name for name, words in shown if name != f"sort by {words}"] == []
    assert "sort by " not in {name for name, _ in names}


def test_a_server_that_is_left_out_leaves_tables_and_charts(live: Page) -> None:
    line = live.locator("#fig-idle-cpu [stroke='var(--s2)']").first
    assert line.is_visible()

    live.get_by_role("button", name="poll", exact=True).click()

    assert "poll" not in servers(live)
    assert not line.is_visible()
    assert live.locator("section[data-server=poll]:visible").count() == 0
    assert live.url.endswith("#off=poll")


def test_the_address_restores_what_was_chosen(live: Page) -> None:
    live.goto(f"{live.url}#pin=select&off=poll,nobody&sort=ranked.4.ascending")
    live.reload()

    assert live.locator("body").get_attribute("data-hot") == "3"
    assert live.locator("body").get_attribute("data-off") == "2"
    assert servers(live)[-2] == "thread-per-connection"

    live.keyboard.press("Escape")
    assert live.locator("body").get_attribute("data-hot") is None
    assert "poll" in servers(live)


def test_a_point_under_the_pointer_says_its_value_and_its_server_stands_out(live: Page) -> None:
    live.locator("#fig-idle-cpu [data-v='5'] circle").last.hover()

    words = live.locator(".tip").inner_text()
    row = live.locator("#fig-idle-cpu-numbers tr[data-v='5']").last.text_content() or ""
    assert words.startswith("thread-per-connection at 10,000: ")
    assert " ".join(words.split()[3:5]) in row
    assert live.locator("body").get_attribute("data-hot") == "5"

    live.locator("h1").hover()
    assert not live.locator(".tip").is_visible()
    assert live.locator("body").get_attribute("data-hot") is None


def test_a_point_says_its_value_where_its_line_is_drawn(live: Page) -> None:
    """The shapes under the pointer lie on the renderer's own dots."""
    centres = """where => [...document.querySelectorAll(where)].map(e => {
        const box = e.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2].map(Math.round).join()})"""
    for figure in ("fig-idle-cpu", "fig-active-latency"):
        dots = live.evaluate(centres, f"#{figure} .mark-symbol path")
        shapes = live.evaluate(centres, f"#{figure} circle")
        apart = [
            min(
                max(
                    abs(int(a) - int(b))
                    for a, b in zip(dot.split(","), one.split(","), strict=True)
                )
                for one in shapes
            )
            for dot in dots
        ]
        assert max(apart) <= 2


def test_print_keeps_every_column(browser: Browser, report: Path) -> None:
    """A4 landscape less its margins is 1,039 CSS pixels wide; nothing may stand beyond them."""
    opened = browser.new_page(viewport={"width": 1039, "height": 720})
    opened.emulate_media(media="print")
    opened.goto(report.as_uri())

    wide = opened.evaluate(
        "[...document.querySelectorAll('table, svg.chart, pre')]"
        ".filter(e => e.getBoundingClientRect().right > 1039.5).map(e => e.outerHTML.slice(0, 80))"
    )
    pdf = opened.pdf(prefer_css_page_size=True)
    opened.close()

    assert wide == []
    assert pdf.startswith(b"%PDF")


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_violation(
    browser: Browser,
    paced_report: Path,
    built: Model,
    tmp_path: Path,
    scheme: str,
    width: str,
) -> None:
    campaigns = tmp_path / "index.html"
    campaigns.write_text(index.render([index.entry(built, "x/report.html")]))
    head = synthetic.campaign()
    comparison = tmp_path / "compare.html"
    comparison.write_text(
        compare_formats.page(campaign_comparison.build((head, built), (head, built)))
    )
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    across, down = WIDTHS[width]
    opened = browser.new_page(
        viewport={"width": across, "height": down},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    opened.set_default_timeout(TIMEOUT_MS)
    for path in (paced_report, campaigns, comparison):
        opened.goto(path.as_uri())
        opened.evaluate("[...document.querySelectorAll('details')].forEach(d => d.open = true)")
        opened.evaluate(axe)
        # All rules run; of those that pass the nodes, half of the time, are left out of the answer
        found = opened.evaluate("axe.run({resultTypes: ['violations']})")

        assert len(found["passes"]) > 10
        told = [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]
        assert told == []
    opened.close()


def test_the_index_fits_and_makes_no_request(page: Page, built: Model, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(index.render([index.entry(built, "x/report.html")]))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))

    page.goto(path.as_uri(), wait_until="networkidle")

    assert requests == [path.as_uri()]
    assert page.viewport_size is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
