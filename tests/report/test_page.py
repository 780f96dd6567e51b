"""The page as text: complete, computed, escaped, the same bytes each time, from any data."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
import synthetic

from harness.report import model
from harness.report.charts import draw_svg
from harness.report.model import Model
from harness.report.page import html
from harness.report.text import terminal_text as text

Lines = list[dict[str, Any]]
EVIL = "<script>alert(1)</script>"


class Elements(HTMLParser):
    """The ids, the links and the visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str | None] = []
        self._hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.ids += [known["id"] or ""] if "id" in known else []
        self.links += [known["href"] or ""] if "href" in known else []
        self.scripts += [known.get("type")] if tag == "script" else []
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def drawn(head: dict[str, Any], lines: Lines, outcomes: Lines | None = None) -> str:
    made = synthetic.outcomes(head) if outcomes is None else outcomes
    return html.render(model.build(head, lines, made))


def test_the_same_campaign_gives_the_same_bytes(
    head: dict[str, Any], records: Lines, page_text: str
) -> None:
    assert drawn(copy.deepcopy(head), copy.deepcopy(records)) == page_text


def test_page_and_terminal_tell_the_same_verdict_and_numbers(built: Model, page_text: str) -> None:
    page = Elements(page_text).text
    terminal = text.render(built)

    for line in (*built.verdict_lines, built.caption):
        assert line in page.replace(" .", ".").replace(" ,", ",")
        assert line in terminal
    for group in built.groups:
        for row in group.rows:
            for number in (row.efficiency, row.slower, row.rate, row.p99_ms, row.memory_kib):
                assert number in page
                assert number in terminal


def test_ids_are_unique_and_every_anchor_leads_somewhere(page_text: str) -> None:
    page = Elements(page_text)

    assert len(page.ids) == len(set(page.ids))
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert anchors <= set(page.ids)
    assert {"epoll-et", "checks", "cell-epoll-et-idle-10000-100-64-1"} <= set(page.ids)


def test_no_link_leads_out_of_the_page_which_may_be_mailed_alone(page_text: str) -> None:
    page = Elements(page_text)

    assert [link for link in page.links if not link.startswith(("#", "data:"))] == []
    assert "cells.csv in this file, trials.jsonl in the campaign's directory" in page.text
    assert "default-src 'none'" in page_text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page_text)


def test_the_page_has_one_small_script_and_its_policy_allows_no_other(page_text: str) -> None:
    assert Elements(page_text).scripts == ["application/json", "application/json", None]
    (script,) = re.findall(r"<script>(.*?)</script>", page_text, re.DOTALL)

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert len(script.encode()) < 8_192
    assert f"script-src 'sha256-{digest}'" in unescape(page_text)


def test_every_cell_is_listed_with_status_and_reason(built: Model, page_text: str) -> None:
    ids = set(Elements(page_text).ids)

    assert {row.anchor for row in built.cells} <= ids
    assert len(built.cells) == 6 * 9
    capped = next(row for row in built.cells if row.anchor == "cell-select-fdset-ramp-10000-0-64-1")
    assert (capped.status, capped.trials) == ("capped", "3")
    assert capped.reasons[0].text == "holds 1,019 of 10,000 (FD_SETSIZE is 1024)"


def test_every_gate_is_printed_with_how_often_it_tripped(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    for line in lines[:4]:
        line["lost"] = 1
    checks = model.build(head, lines, synthetic.outcomes(head)).checks

    lost = next(check for check in checks if check.code == "lost")
    assert (lost.asked, lost.failed, lost.effect) == (153, 4, "void")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"profile": {"name": "smoke", "ranked": False}}, "profile smoke is never ranked"),
        ({}, "0 of 3 blocks are measured, the first look comes after 3"),
    ],
)
def test_why_nobody_is_ranked_is_said_once_and_not_in_every_row(
    head: dict[str, Any], records: Lines, changes: dict[str, Any], why: str
) -> None:
    first = [line for line in records if line["block"] == 1]
    built = model.build(head | changes, first, [])
    words = [row.words for group in built.groups for row in group.rows]

    assert f"Not ranked: {why}" in built.validity.text
    assert built.caption.startswith("Not ranked. ")
    assert not any(why in said for said in words)
    assert sum("FD_SETSIZE" in said for said in words) == 1


def test_no_series_has_a_point_at_a_cell_that_was_not_reached(built: Model) -> None:
    reached = {
        (cell.variant, cell.key.connections) for cell in built.analysis.cells if cell.efficiency
    }
    for figure in built.figures:
        if figure.kind in ("cost", "latency", "why"):
            for series in figure.series:
                assert {(series.variant, int(point.x)) for point in series.points} <= reached
    assert ("select-fdset", 10_000) not in reached


def test_the_causes_stand_below_the_results_for_idle_and_active_alike(built: Model) -> None:
    causes = {figure.id: figure for figure in built.figures if figure.kind == "why"}

    assert list(causes) == [
        *("fig-modes", "fig-idle-switches", "fig-active-switches", "fig-idle-threads"),
    ]
    threads = {series.variant: series for series in causes["fig-idle-threads"].series}
    assert [point.y for point in threads["thread-per-connection"].points] == [101, 1_001, 10_001]
    assert [point.x for point in threads["select-fdset"].points] == [100, 1_000]
    assert ">threads (log)<" in draw_svg.svg(causes["fig-idle-threads"])


def test_a_void_cell_leaves_a_gap_in_its_line(head: dict[str, Any], records: Lines) -> None:
    lines = copy.deepcopy(records)
    for line in lines:
        if (line["variant"], line["scenario"], line["connections_requested"]) == (
            *("poll", "idle", 1_000),
        ):
            line["corrupt_bytes"] = 1

    figures = model.build(head, lines, synthetic.outcomes(head)).figures

    figure = next(figure for figure in figures if figure.id == "fig-idle-cpu")
    poll = [series for series in figure.series if series.variant == "poll"]
    assert [[(point.x, point.segment) for point in series.points] for series in poll] == [
        [(100, 0), (10_000, 1)]
    ]


def test_a_series_of_one_point_draws_a_dot(head: dict[str, Any]) -> None:
    small = synthetic.campaign(connections=(100,))
    built = model.build(small, synthetic.records(small), synthetic.outcomes(small))
    figure = next(figure for figure in built.figures if figure.id == "fig-idle-latency")

    dots = re.findall(r'<g class="mark-symbol[^>]*>(.*?)</g>', draw_svg.svg(figure))
    assert sum(group.count("<path") for group in dots) == 6


def test_a_ceiling_is_drawn_as_a_cross_with_its_words(built: Model) -> None:
    """They follow the name on its line, or on the next one, which is the next element."""
    for figure in built.figures:
        if figure.kind in ("efficiency", "latency", "ramp"):
            drawn_chart = draw_svg.svg(figure)
            assert drawn_chart.count(">✕<") == 1
            told = re.findall(r">select-fdset( |</text><text [^<>]*>)stops at 1,019<", drawn_chart)
            assert len(told) == drawn_chart.count("stops at") == 1


@pytest.mark.parametrize("where", ["name", "title", "summary"])
def test_markup_in_a_variant_is_text(head: dict[str, Any], records: Lines, where: str) -> None:
    changed = copy.deepcopy(head)
    lines = copy.deepcopy(records)
    changed["variants"][2][where] = EVIL
    if where == "name":
        for line in [*lines, *changed["plan"]]:
            line["variant"] = EVIL if line["variant"] == "poll" else line["variant"]

    page = drawn(changed, lines)

    assert "<script>alert" not in page
    assert "</script>alert" not in page
    assert EVIL in Elements(page).text


def test_markup_in_a_log_line_and_in_a_reason_is_text(head: dict[str, Any], records: Lines) -> None:
    outcomes = synthetic.outcomes(head)
    outcomes[0] |= {"outcome": "failed", "code": EVIL, "text": EVIL, "log_tail": f"x\n</pre>{EVIL}"}
    lines = [
        line | {"failure": {"code": "load-error", "text": EVIL}} if index == 3 else line
        for index, line in enumerate(records)
    ]

    page = drawn(head | {"argv": ["run", EVIL], "campaign": EVIL}, lines, outcomes)

    assert "<script>alert" not in page
    assert page.count("</script>") == 3
    assert f"</pre>{EVIL}" in Elements(page).text


def test_the_embedded_data_is_json_with_the_aggregates(built: Model, page_text: str) -> None:
    found = re.search(r'id="c10k-data">(.*?)</script>', page_text, re.DOTALL)
    assert found is not None

    data = json.loads(found.group(1))

    assert len(data["cells"]["rows"]) == len(built.analysis.cells)
    assert data["headline"]["key"]["connections"] == 10_000


def test_the_csv_has_one_line_for_each_cell(built: Model) -> None:
    lines = html.cells_csv(built).splitlines()

    assert len(lines) == 1 + len(built.analysis.cells)
    assert all(line.count(",") == lines[0].count(",") for line in lines)


ONE_CORE = {"cores": [[0, 1]], "cpus_server": [1], "cpus_load": [0], "cpus_online": 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "running"}, "The campaign is running"),
        ({"state": "interrupted"}, "The campaign was interrupted"),
        ({"state": "failed"}, "The harness stopped with an error"),
        ({"isolated": False}, "Not isolated"),
        ({"environment": ONE_CORE}, "One core: server and load ran on hyper-threads"),
        ({"environment": ONE_CORE}, "server and load share a physical core"),
        ({"profile": {"name": "smoke", "ranked": False}}, "Smoke: not a benchmark result."),
    ],
)
def test_what_must_be_known_first_stands_above_the_verdict(
    head: dict[str, Any], records: Lines, changes: dict[str, Any], words: str
) -> None:
    page = Elements(drawn(head | changes, records[:1])).text

    assert words in page
    assert page.index(words) < page.index("What was checked")
    assert words not in Elements(drawn(head, records[:1])).text


def test_a_failed_trial_is_shown_with_its_words_and_last_log_lines(
    head: dict[str, Any], records: Lines
) -> None:
    outcomes = synthetic.outcomes(head)
    outcomes[4] |= {"outcome": "failed", "code": "server-died", "text": "exit code 139"}
    outcomes[4] |= {"log_tail": "first line\nSegmentation fault"}

    page = Elements(drawn(head, records, outcomes)).text

    assert "server-died select-fdset trial 1-select-fdset exit code 139" in page
    assert "Segmentation fault" in page


def test_each_server_has_a_section_with_its_cells_limits_and_trials(
    head: dict[str, Any], records: Lines
) -> None:
    outcomes = synthetic.outcomes(head)
    poll = next(line for line in outcomes if line["variant"] == "poll")
    poll |= {"counters": {"accepted": 11_101, "waits": 200, "events": 5_000}, "reconciled": False}

    built = model.build(head, records, outcomes)
    section = next(one for one in built.sections if one.variant.name == "poll")
    page = Elements(html.render(built)).text

    assert [one.variant for one in built.sections] == list(built.variants)
    assert [limit.name for limit in section.limits] == ["nofile"]
    first, second, _ = section.trials
    assert (first.counters, first.events_per_wait) == (("11,101", "200", "5,000"), "25.00")
    assert (first.reconciled, second.reconciled) == ("differ", "agree")
    assert "nofile 10200, 10200 (asked 10200)" in page
    assert "1-poll done 0 11,101 200 5,000 25.00 differ" in page


def test_limits_that_differ_between_servers_have_lines_of_their_own(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    for line in lines:
        if line["variant"] == "poll":
            line["limits"]["applied"]["nofile"] = [4_096, 4_096]

            line["limits"]["applied"]["pids"] = [line["cell"]]

    limits = model.build(head, lines, synthetic.outcomes(head)).limits

    found = {(limit.name, limit.asked, limit.applied, limit.who) for limit in limits}
    others = "epoll-et, epoll-lt, select, select-fdset, thread-per-connection"
    assert found == {
        ("nofile", "10200", "10200, 10200", others),
        ("nofile", "10200", "4096, 4096", "poll"),
    }


PARTIAL = [0, 1, 2, 7, 40]


@pytest.mark.parametrize("count", PARTIAL)
def test_a_campaign_cut_anywhere_is_drawn(head: dict[str, Any], records: Lines, count: int) -> None:
    built = model.build(head | {"state": "running"}, records[:count], [])
    page = Elements(html.render(built)).text

    assert built.verdict_lines
    assert all(line in page for line in built.verdict_lines)
    assert len(text.render(built)) > 100


@pytest.mark.parametrize("campaign", [{}, {"campaign": "x"}, {"plan": [], "variants": []}])
def test_a_campaign_without_anything_is_drawn(campaign: dict[str, Any]) -> None:
    built = model.build(campaign, [], [])

    assert "the plan has no idle cell" in Elements(html.render(built)).text
    assert "Not ranked: the plan has no idle cell" in text.render(built)
    assert built.ranked_void is False


def test_records_with_missing_keys_are_drawn(head: dict[str, Any], records: Lines) -> None:
    """Each key of a cell that ended is taken away once, and so are all those of a failed one."""
    base = next(line for line in records if line["scenario"] == "idle")
    ramp = next(line for line in records if line["scenario"] == "ramp")
    lines = [
        {name: value for name, value in line.items() if name != key}
        | {"trial": f"{index}-epoll-lt", "variant": "epoll-lt"}
        for line in (base, ramp)
        for index, key in enumerate(line)
    ]
    lines += [synthetic.failed_cell(line, "load-error", "it broke") for line in (base, ramp)]

    page = Elements(drawn(head, lines, [])).text

    assert "it broke" in page


def test_the_command_repeats_the_campaign_with_its_seed(head: dict[str, Any]) -> None:
    def command(argv: list[str]) -> str:
        return model.build(head | {"argv": argv}, [], []).command

    assert command(["c10k", "run", "--profile", "quick"]) == "c10k run --profile quick --seed 7"
    assert command(["run", "--seed=7"]) == "c10k run --seed=7"
    assert command(["/opt/venv/bin/c10k", "run", "--seed", "7"]) == "c10k run --seed 7"
    assert command([]) == "c10k run --seed 7"
    assert command(["run", "--servers", "a b"]) == "c10k run --servers 'a b' --seed 7"
