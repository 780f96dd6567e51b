"""One server that ran twice: the noise floor, in no ranking, and loud where it is too high."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import synthetic

from harness.analysis import analyse, control
from harness.report import model

ALIAS = "epoll-lt.again"
Lines = list[dict[str, Any]]


def with_pair(factors: tuple[float, ...]) -> tuple[dict[str, Any], Lines, Lines]:
    """A campaign in which epoll-lt's second run costs `factors` times the CPU, block by block."""
    head = synthetic.campaign(trials=len(factors))
    lines = synthetic.records(head)
    twice = next(one for one in head["variants"] if one["name"] == "epoll-lt")
    head["variants"].append(twice | {"name": ALIAS, "same_as": "epoll-lt"})
    for trial in [one for one in head["plan"] if one["variant"] == "epoll-lt"]:
        head["plan"].append(trial | {"id": f"{trial['id']}.again", "variant": ALIAS})
    for line in [one for one in lines if one["variant"] == "epoll-lt"]:
        second = copy.deepcopy(line) | {"variant": ALIAS, "trial": f"{line['trial']}.again"}
        if "cpu_ns" in second["server"]:
            second["server"]["cpu_ns"] = line["server"]["cpu_ns"] * factors[line["block"] - 1]
        lines.append(second)
    return head, lines, synthetic.outcomes(head)


def test_the_second_run_is_in_no_ranking_figure_or_section_but_is_counted() -> None:
    made = with_pair((1.001, 0.999, 1.002))

    built = model.build(*made)

    names = {row.variant for group in built.groups for row in group.rows}
    assert names == set(synthetic.TOYS)
    assert ALIAS not in {cell.variant for cell in built.analysis.cells}
    assert ALIAS not in {variant.name for variant in built.variants}
    assert {cell.variant for cell in built.analysis.control} == {ALIAS}
    alone = model.build(*synthetic_only())
    assert built.validity.cells == alone.validity.cells + 3 * 9


def synthetic_only() -> tuple[dict[str, Any], Lines, Lines]:
    head = synthetic.campaign()
    return head, synthetic.records(head), synthetic.outcomes(head)


def test_the_noise_floor_is_the_paired_ratio_of_the_two_at_each_cell() -> None:
    head, lines, outcomes = with_pair((1.01, 1.012, 1.011))

    analysis = analyse(head, lines, outcomes)

    assert len(analysis.floor) == 6
    for contrast in analysis.floor:
        assert (contrast.variant, contrast.best) == (ALIAS, "epoll-lt")
        assert contrast.comparison.ratio == pytest.approx((1.01 * 1.012 * 1.011) ** (1 / 3))
        assert contrast.comparison.outcome == "equivalent"


def test_an_equivalent_pair_is_told_beside_the_verdict_and_costs_nothing() -> None:
    built = model.build(*with_pair((1.01, 1.012, 1.011)))

    noise = "The same server twice differed by up to 1 %, in the ranked cell by 1 %"
    assert built.validity.noise == noise
    assert noise in built.validity.text
    (told,) = (finding.text for finding in built.findings if finding.kind == "noise")
    assert told.startswith("Noise floor: epoll-lt against itself, idle at 10,000 connections")
    assert built.validity.level == "warn"
    assert not any("itself" in caveat for caveat in built.validity.caveats)


def test_a_pair_that_differs_is_said_before_anything_else() -> None:
    built = model.build(*with_pair((1.10, 1.101, 1.102)))

    assert built.validity.level == "bad"
    assert built.validity.headline == "The same server, measured twice, differs from itself"
    assert "The same server twice differed by up to 10 %" in built.validity.text


def test_a_pair_that_was_never_planned_has_no_floor() -> None:
    built = model.build(*synthetic_only())

    assert built.analysis.floor == ()
    assert built.validity.noise == "No server ran twice, so the noise floor is unknown"
    assert control.names({}) == {}
