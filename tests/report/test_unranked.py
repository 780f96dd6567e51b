"""Where nothing is ranked, the report says so once, with the reason and what to do next."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
import synthetic

from harness.report import draw, index, model
from harness.report.model import Model
from harness.report.page import html
from harness.report.text import report_formats, terminal_text

Head = dict[str, Any]
Lines = list[dict[str, Any]]
Campaign = tuple[Head, Lines]


def toys(**options: Any) -> Campaign:
    head = synthetic.campaign(**options)
    return head, synthetic.records(head)


def changed(**changes: Any) -> Campaign:
    head, lines = toys()
    return head | changes, lines


def only(*names: str, blocks: Callable[[str], set[int]] = lambda _: {1, 2, 3}) -> Campaign:
    """A campaign of these servers, of which the records of those blocks are left."""
    head, lines = toys(trials=5)
    head["variants"] = [one for one in head["variants"] if one["name"] in names]
    head["plan"] = [one for one in head["plan"] if one["variant"] in names]
    return head, [
        one for one in lines if one["variant"] in names and one["block"] in blocks(one["variant"])
    ]


def every_variant(**changes: Any) -> Campaign:
    head, lines = toys()
    for place, one in enumerate(head["variants"]):
        one |= {name: value(place) if callable(value) else value for name, value in changes.items()}
    return head, lines


def at_headline(change: Callable[[dict[str, Any]], None], state: str = "done") -> Campaign:
    head, lines = toys(state=state)
    for line in lines:
        if (line["scenario"], line["connections_requested"]) == ("idle", 10_000):
            change(line)
    return head, lines


def lost(line: dict[str, Any]) -> None:
    line["lost"] = 3


def without_cpu_time(line: dict[str, Any]) -> None:
    del line["server"]["cpu_ns"]


def lost_but_once(line: dict[str, Any]) -> None:
    line["lost"] = 0 if line["block"] == 1 else 3


def cut(state: str, blocks: int) -> Campaign:
    head, lines = toys(state=state)
    return head, [line for line in lines if line["block"] <= blocks]


def without_the_headline(state: str) -> Campaign:
    head, lines = toys(state=state)
    return head, [one for one in lines if one["connections_requested"] < 10_000]


FAILED_PROOF = {"passed": False, "checks": [{"verdict": "fail", "title": "T", "observed": "7"}]}
SMOKE = {"name": "smoke", "ranked": False}
REFUSED = {"failures": [{"check": "T5", "text": "it broke"}]}
QUICK = "c10k run --profile quick"
RESUME = "c10k run --resume 20260301-140200-quick"
# The campaign, the code of the reason, words of the reason, words of the advice.
REASONS: dict[str, tuple[Callable[[], Campaign], str, str, str]] = {
    "profile": (lambda: changed(profile=SMOKE), "profile", "profile smoke is never ranked", QUICK),
    "selftest": (
        lambda: changed(selftest=FAILED_PROOF),
        *("selftest", "the generator failed its self-test (T: 7", "c10k selftest"),
    ),
    "selftest-cut": (
        lambda: changed(selftest={"passed": False}),
        *("selftest", "the generator's self-test did not come to its end", "c10k selftest"),
    ),
    "no-idle-cell": (
        lambda: ({"campaign": "x", "plan": [], "variants": []}, []),
        *("headline", "the plan has no idle cell", QUICK),
    ),
    "other-cells": (
        lambda: toys(connections=(100, 1_000)),
        *("headline", "no idle cell with 10,000 connections, 100 of them active", QUICK),
    ),
    "trials": (
        lambda: toys(trials=2),
        *("trials", "ranking needs 3 trials, the plan has 2", "trials = 3"),
    ),
    "nothing-yet": (
        lambda: cut("running", 0),
        *("nothing-measured", "nothing is measured yet", "Wait"),
    ),
    "nothing-at-all": (
        lambda: cut("done", 0),
        *("nothing-measured", "nothing is measured", "lists the failures"),
    ),
    "one-server": (
        lambda: only("poll"),
        *("one-server", "poll is the only server that can be ranked", "Add another"),
    ),
    "widths": (
        lambda: every_variant(workers=lambda place: place + 1),
        *("widths", "no two servers have the same number of workers", "same number of workers"),
    ),
    "experimental": (
        lambda: every_variant(status="experimental"),
        *("experimental", "every server is experimental", "Add stable servers"),
    ),
    "nonconforming": (
        lambda: every_variant(conformance=REFUSED),
        *("nonconforming", "no server passes every conformance check", "c10k check epoll-et"),
    ),
    "void": (
        lambda: at_headline(lost),
        *("void:lost", "are void, most often by lost (3 connections", "c10k check"),
    ),
    "evidence": (
        lambda: at_headline(without_cpu_time),
        *("void:evidence", "are void, most often by evidence (", "c10k doctor"),
    ),
    "missing": (
        lambda: without_the_headline("interrupted"),
        *("missing", "no server has a figure of the headline cell", RESUME),
    ),
    "look-running": (
        lambda: cut("running", 1),
        *("first-look", "1 of 3 blocks is measured, the first look comes after 3", "Wait"),
    ),
    "look-interrupted": (
        lambda: cut("interrupted", 2),
        *("first-look", "2 of 3 blocks are measured, the first look comes after 3", RESUME),
    ),
    "usable-void": (
        lambda: at_headline(lost_but_once),
        *("usable-trials", "void most often by lost (3 connections", "c10k check"),
    ),
    "usable-of-one": (
        lambda: only("poll", "epoll-lt", blocks=lambda name: {1, 2, 3} if name == "poll" else {1}),
        *("usable-trials", "only poll has them", "lists the failures"),
    ),
    "blocks": (
        lambda: only(
            "poll", "epoll-lt", blocks=lambda name: {1, 2, 3} if name == "poll" else {3, 4, 5}
        ),
        *("blocks", "no two servers share 3 blocks", "more trials"),
    ),
}


def built(campaign: Campaign) -> Model:
    head, lines = copy.deepcopy(campaign)
    ended = synthetic.outcomes(head)
    if head.get("state") in ("running", "interrupted"):
        measured = {line["block"] for line in lines}
        ended = [line for line in ended if line["block"] in measured]
    found = model.build(head, lines, ended if lines else [])
    return replace(found, figures=())  # charts take seconds to draw, and are below all this


def words(markup: str) -> str:
    """The text of a page or of Markdown, without tags, escapes and backticks."""
    visible = re.sub(r"<(script|style).*?</\1>", " ", markup, flags=re.DOTALL)
    plain = unescape(re.sub(r"<[^>]+>", "", visible))
    return " ".join(plain.replace("\\", "").replace("`", "").split())


def first_screens(model: Model) -> dict[str, str]:
    """What each format says above its table."""
    page = html.render(model)
    document = json.loads(draw.as_json(report_formats.document(model)))
    return {
        "html": words(page[: page.index('<table class="ranked"')]),
        "text": words(terminal_text.render(model).split("\nrank ")[0]),
        "md": words(report_formats.markdown(model).split("\n| rank")[0]),
        "json": words(f"{document['verdict']} {document['validity']}"),
        "index": words(index.render([index.entry(model, "x/report.html")])),
    }


@pytest.mark.parametrize("name", REASONS)
def test_the_validity_line_says_why_nothing_is_ranked_and_what_to_do_and_nothing_repeats_it(
    name: str,
) -> None:
    campaign, code, why, advice = REASONS[name]
    found = built(campaign())
    unranked = found.analysis.unranked

    assert unranked is not None
    assert unranked.code == code
    assert why in words(unranked.why)
    assert advice in words(unranked.advice)
    assert (found.validity.level, found.validity.headline) == ("warn", unranked.title)
    assert found.verdict_lines[0] in ("No server is ranked.", "No server is ranked yet.")
    for kind, screen in first_screens(found).items():
        assert f"{unranked.title}: {words(unranked.why)}. {words(unranked.advice)}." in screen, kind
        assert screen.count(words(unranked.why)) == 1, kind
        assert "Valid with" not in screen, kind


@pytest.mark.parametrize("name", ["trials", "void", "look-running"])
def test_a_report_without_a_ranking_has_the_warning_style(name: str) -> None:
    page = html.render(built(REASONS[name][0]()))

    assert '<p class="verdict warn" id="verdict">' in page
    assert re.search(
        r'id="validity">(<summary>)?\s*<b class="warn">⚠ Not ranked( yet)?</b>: ', page
    )


def test_every_server_that_stops_below_the_headline_leaves_nothing_to_rank() -> None:
    head, lines = only("select-fdset", blocks=lambda _: {1, 2, 3, 4, 5})
    found = built(synthetic.multiplied(head, lines, 2)).analysis.unranked

    assert found is not None
    assert found.code == "capped"
    assert "every server stops below the connections of the headline cell" in found.why


def test_a_reason_that_time_cannot_change_does_not_say_yet() -> None:
    head, lines = toys(state="running", trials=2)

    assert built((head, lines)).validity.headline == "Not ranked"
    assert built(cut("running", 1)).validity.headline == "Not ranked yet"


def test_the_most_common_gate_is_named_where_servers_are_void_for_several_reasons() -> None:
    def change(line: dict[str, Any]) -> None:
        if line["variant"] == "poll":
            line["corrupt_bytes"] = 1
        else:
            line["lost"] = 3

    unranked = built(at_headline(change)).analysis.unranked

    assert unranked is not None
    assert unranked.code == "void:lost"


def test_a_ranked_campaign_states_no_reason() -> None:
    found = built(toys())

    assert found.analysis.unranked is None
    assert found.validity.headline.startswith("Valid with ")
    assert "Not ranked" not in terminal_text.render(found)
    assert report_formats.document(found)["not_ranked"] is None


def test_a_ranking_in_one_group_of_workers_is_a_ranking() -> None:
    head, lines = toys()
    head["variants"][0]["workers"] = 4

    assert built((head, lines)).analysis.unranked is None
