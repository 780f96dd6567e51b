"""The title of a chart claims only what the rules of the ranking tell apart."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import synthetic
from lines import analyse

from harness.analysis import claims
from harness.analysis.results import Analysis
from harness.report import model

MECHANISMS = {name: name for name in synthetic.TOYS} | {"select-fdset": "select"}
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def head() -> dict[str, Any]:
    return synthetic.campaign(trials=5, paced=True, others=True)


@pytest.fixture(scope="module")
def records(head: dict[str, Any]) -> Lines:
    return synthetic.records(head)


def analysed(head: dict[str, Any], lines: Lines) -> Analysis:
    return analyse(head, lines, synthetic.outcomes(head))


def claim(analysis: Analysis, scenario: str = "idle") -> str:
    cells = [cell for cell in analysis.cells if cell.key.scenario == scenario]
    found = claims.scaling(analysis, cells, scenario, MECHANISMS)
    return found.text if found else ""


def slowed(lines: Lines, name: str, factors: tuple[float, ...]) -> Lines:
    """The campaign in which this server's idle echoes at 10,000 cost these factors more."""
    changed = copy.deepcopy(lines)
    cells = [
        line
        for line in changed
        if (line["variant"], line["scenario"], line["connections_requested"])
        == (name, "idle", 10_000)
    ]
    for line, factor in zip(cells, factors, strict=True):
        line["server"]["cpu_ns"] = round(line["server"]["cpu_ns"] * factor)
    return changed


def test_the_mechanism_comes_first(head: dict[str, Any], records: Lines) -> None:
    assert claim(analysed(head, records)) == (
        "poll and select pay more for idle connections than epoll and thread-per-connection"
    )


def test_those_that_pay_nothing_are_said_not_to(head: dict[str, Any], records: Lines) -> None:
    few = ("epoll-et", "poll", "select")
    lines = [line for line in records if line["variant"] in few]

    assert claim(analysed(head, lines)) == (
        "poll and select pay for idle connections; epoll-et does not"
    )


def test_a_server_that_is_not_apart_from_both_groups_prevents_the_claim(
    head: dict[str, Any], records: Lines
) -> None:
    lines = slowed(records, "epoll-et", (1.0, 3.0, 0.4, 5.0, 1.0))

    assert "epoll" not in claim(analysed(head, lines))


def test_noise_gives_no_claim(head: dict[str, Any], records: Lines) -> None:
    lines = records
    for name in synthetic.TOYS:
        if name != "select-fdset":
            lines = slowed(lines, name, (0.2, 5.0, 0.3, 4.0, 1.0))

    assert claim(analysed(head, lines)) == ""


def test_of_many_mechanisms_the_first_are_named() -> None:
    many = {f"server-{place}": f"{chr(97 + place)}-loop" for place in range(9)}

    assert claims._named(set(many), many) == ["a-loop", "b-loop", "c-loop", "6 others"]


def test_a_title_compares_only_figures_that_have_a_value_in_each_block(
    head: dict[str, Any], records: Lines
) -> None:
    """Percentiles, counts and memory have one value per cell, so those charts claim nothing."""
    built = model.build(head, records, synthetic.outcomes(head))

    claimed = {figure.id: figure.statement.text for figure in built.figures if figure.statement}
    assert set(claimed) <= {
        *("fig-idle-cpu", "fig-active-cpu", "fig-ramp"),
        *("fig-churn-efficiency", "fig-churn-connect"),
    }
    assert claimed["fig-churn-efficiency"].startswith("With connections closed by FIN thread-per-")


def test_extremes_that_do_not_differ_are_not_claimed(head: dict[str, Any], records: Lines) -> None:
    lines = copy.deepcopy(records)
    churn = [line for line in lines if line["scenario"] == "churn"]
    for place, line in enumerate(churn):
        line["server"]["cpu_ns"] = round(line["echoes"] * (10_000 + 9_000 * (place % 7)))
    figures = model.build(head, lines, synthetic.outcomes(head)).figures

    assert next(one for one in figures if one.id == "fig-churn-efficiency").statement is None
