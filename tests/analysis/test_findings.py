"""No sentence says a number that the data does not have, or an order that was not shown."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.analysis import Analysis, analyse, findings
from harness.analysis.findings import Finding, Name, Quantity, Quote

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def head() -> dict[str, Any]:
    """Five blocks: with three, the interval of one of ten pairs is too wide to settle anything."""
    return synthetic.campaign(trials=5)


@pytest.fixture(scope="module")
def records(head: dict[str, Any]) -> list[dict[str, Any]]:
    return synthetic.records(head)


def found_in(head: dict[str, Any], lines: list[dict[str, Any]]) -> tuple[Finding, ...]:
    return findings.find(head, analyse(head, lines, synthetic.outcomes(head)))


def one(found: tuple[Finding, ...], kind: str) -> str:
    return next(finding.text for finding in found if finding.kind == kind)


def numbers_of(analysis: Analysis) -> set[float]:
    """Every number of an analysis, the totals among them."""

    def walk(value: Any) -> Iterator[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for inner in value:
                yield from walk(inner)
        elif isinstance(value, int | float):
            yield float(value)

    totals = {cell.memory.total for cell in analysis.cells if cell.memory}
    return set(walk(asdict(analysis))) | totals


def test_a_tie_is_called_a_tie(head: dict[str, Any], records: list[dict[str, Any]]) -> None:
    text = one(found_in(head, records), "tie")

    assert text.startswith("epoll-lt and epoll-et tie for first at 10,000 connections (100 acti")
    assert re.search(r"echoes per CPU second \(ratio 1\.0\d×, 99\.75 % CI [\d.]+–[\d.]+\)\.$", text)


def test_a_single_winner_is_named_with_its_distance_to_the_next(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    lines = [line for line in records if line["variant"] != "epoll-et"]
    text = one(found_in(head, lines), "winner")

    assert re.match(r"epoll-lt is first at 10,000 connections \(100 active\): .*× the rate of "
                    r"thread-per-connection \(", text)  # fmt: skip


def test_a_difference_that_is_not_settled_is_not_called_a_tie(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    lines = copy.deepcopy(records)
    for line, factor in zip(
        [x for x in lines if (x["variant"], x["scenario"], x["connections_requested"])
         == ("epoll-et", "idle", 10_000)], (1.0, 1.3, 0.8, 1.1, 0.9), strict=True
    ):  # fmt: skip
        line["server"]["cpu_ns"] = round(line["server"]["cpu_ns"] * factor)

    text = one(found_in(head, lines), "tie")

    assert "epoll-lt and epoll-et are too close to call for first place at 10,000" in text


@pytest.mark.parametrize(
    ("factors", "ending"),
    [
        ((1.0, 1.001, 0.999, 1.0, 1.0), "but equal to it at 100"),
        ((1.0, 1.3, 0.8, 1.1, 0.9), "but not settled at 100"),
        ((1.5, 1.501, 1.499, 1.5, 1.5), r"and 1\.50× at 100"),
        ((0.8, 0.801, 0.799, 0.8, 0.8), r"but ahead of it at 100 \(0\.800×\)"),
    ],
)
def test_what_grows_with_the_connections_is_told_with_both_ends(
    head: dict[str, Any],
    records: list[dict[str, Any]],
    factors: tuple[float, ...],
    ending: str,
) -> None:
    """At 100 connections poll's CPU time per echo is `factors` of epoll-lt's, block by block."""
    lines = copy.deepcopy([line for line in records if line["variant"] != "select"])
    small = {
        (line["variant"], line["block"]): line
        for line in lines
        if (line["scenario"], line["connections_requested"]) == ("idle", 100)
    }
    for block, factor in enumerate(factors, start=1):
        best, poll = small["epoll-lt", block], small["poll", block]
        cost = best["server"]["cpu_ns"] / best["echoes"]
        poll["server"]["cpu_ns"] = round(poll["echoes"] * cost * factor)

    text = one(found_in(head, lines), "growth")

    assert re.fullmatch(
        rf"poll is \d\.\d\d× slower than epoll-lt there \(CI [^)]*\), {ending}\.", text
    )


def test_a_ceiling_is_told(head: dict[str, Any], records: list[dict[str, Any]]) -> None:
    assert one(found_in(head, records), "ceiling") == "select-fdset stops at 1,019 connections."


def test_the_largest_use_of_memory_is_told_where_it_doubles_the_median(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    text = one(found_in(head, records), "memory")

    assert re.fullmatch(
        r"thread-per-connection takes 3\d\.\d KiB of memory per connection, 7\.\d\d× the median\.",
        text,
    )
    even = [line for line in records if line["variant"] != "thread-per-connection"]
    assert "memory" not in {finding.kind for finding in found_in(head, even)}


def test_the_most_context_switches_are_told_where_they_double_the_median(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    lines = copy.deepcopy(records)
    at_idle = [line for line in lines if line["scenario"] == "idle"]
    for line in at_idle:
        if line["variant"] == "poll":  # ten times the others', and still next to none
            line["server"]["switches"] |= {"voluntary": line["echoes"] // 9}
    assert "switches" not in {finding.kind for finding in found_in(head, lines)}

    for line in at_idle:
        if line["variant"] == "thread-per-connection":
            line["server"]["switches"] |= {"voluntary": line["echoes"]}
    text = one(found_in(head, lines), "switches")
    start = r"thread-per-connection switches context 1\.\d+ times per echo, "
    assert re.fullmatch(start + r"\d\d\.\d× the median\.", text)


def test_every_variant_that_falls_behind_as_connections_come_is_told(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    told = [one.parts[0] for one in found_in(head, records) if one.kind == "growth"]

    assert set(told) == {Name("poll"), Name("select")}


def measured_in(blocks: dict[str, set[int]]) -> tuple[Finding, ...]:
    """What is found in a campaign of five blocks of which the servers have these."""
    head = synthetic.campaign(trials=5)
    lines = [x for x in synthetic.records(head) if x["block"] in blocks.get(x["variant"], ())]
    head["variants"] = [one for one in head["variants"] if one["name"] in blocks]
    head["plan"] = [one for one in head["plan"] if one["variant"] in blocks]
    return found_in(head, lines)


def test_two_servers_that_share_too_few_blocks_are_not_ranked_and_no_reason_to_fail() -> None:
    found = measured_in({"epoll-lt": {1, 2, 3}, "poll": {3, 4, 5}})

    assert one(found, "unranked") == "No server is ranked."


def test_the_best_is_the_best_of_those_that_can_be_compared() -> None:
    late = {3, 4, 5}
    found = measured_in({"epoll-lt": {1, 2, 3}, "thread-per-connection": late, "poll": late})

    assert one(found, "winner").startswith("thread-per-connection is first at 10,000")


def test_servers_that_were_not_the_limit_are_counted(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    text = one(found_in(head, records), "generator")

    assert text.startswith("The server's CPU was not the limit for 2 of 5:")


def test_a_verdict_has_two_sentences_and_the_further_findings_are_the_others(
    head: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    found = found_in(head, records)
    verdict = findings.verdict(found)

    assert [finding.kind for finding in verdict] == ["tie", "growth"]
    assert "; select-fdset stops at 1,019 connections; thread-per" in verdict[1].text
    told = {finding.kind for finding in findings.further(found)}
    assert told.isdisjoint({"tie", "ceiling", "memory"})
    assert told >= {"growth", "generator"}


@pytest.mark.parametrize(
    ("state", "trials", "text"),
    [
        ("running", 0, "No server is ranked yet."),
        ("running", 1, "No server is ranked yet."),
        ("interrupted", 2, "No server is ranked."),
    ],
)
def test_without_a_ranking_the_verdict_says_so(state: str, trials: int, text: str) -> None:
    head = synthetic.campaign(state=state)
    lines = [line for line in synthetic.records(head) if line["block"] <= trials]

    assert findings.verdict(found_in(head, lines))[0].text == text


def test_a_name_with_braces_or_digits_is_only_a_name() -> None:
    head = synthetic.campaign()
    renamed = {"poll": "poll{}99", "epoll-lt": "{0}"}
    lines = synthetic.records(head)
    for line in [*lines, *head["variants"], *head["plan"]]:
        for key in ("variant", "name"):
            line[key] = renamed.get(line.get(key, ""), line.get(key))

    text = " ".join(finding.text for finding in found_in(head, lines))

    assert re.search(r"poll\{\}99 is \d\.\d\d× slower than \{0\} there", text)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), noise=st.floats(0.0, 0.4))
def test_every_number_of_every_sentence_is_in_the_analysis(seed: int, noise: float) -> None:
    head = synthetic.campaign(connections=(100, 10_000))
    lines = synthetic.records(head, seed)
    for index, line in enumerate(lines):
        if "cpu_ns" in line["server"]:
            factor = 1 + noise * ((index * 7919 + seed) % 13) / 13
            line["server"]["cpu_ns"] = round(line["server"]["cpu_ns"] * factor)
    analysis = analyse(head, lines, synthetic.outcomes(head))
    known = numbers_of(analysis)

    for finding in findings.find(head, analysis):
        ours = "".join(
            "" if isinstance(part, Name | Quote | Quantity) else part for part in finding.parts
        )
        assert not NUMBER.search(ours), f"a number that is no Quantity: {finding.text}"
        if finding.kind != "generator":
            assert {number.value for number in finding.numbers} <= known, finding.text
