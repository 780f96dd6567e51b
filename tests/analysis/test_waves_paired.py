"""Servers of different waves are compared through the anchor, block by block."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import pytest
import synthetic

from harness.analysis import Analysis, analyse
from harness.analysis.intervals import compare
from harness.analysis.series import Series
from harness.report import model

Lines = list[dict[str, Any]]
ANCHOR = "epoll-lt"
MEMBERS = {1: ("epoll-et", "thread-per-connection"), 2: ("poll", "select", "select-fdset")}
WAVE_OF = {name: wave for wave, names in MEMBERS.items() for name in names}
COST_US = {name: 10.0 + place for place, name in enumerate(synthetic.TOYS)}
BLOCKS = 4


def rates(speeds: dict[tuple[int, int], float], wave: int, rate: float) -> dict[Any, float]:
    """A server that is always at `rate` of a host whose waves have these speeds."""
    return {place: rate * speed for place, speed in speeds.items() if place[1] == wave}


def drifting(change: float) -> dict[tuple[int, int], float]:
    """Speeds of the host: each block another one, and wave 2 slower by `change`."""
    dice = random.Random(3)  # noqa: S311 (figures to repeat, not secrets)
    blocks = {block: dice.uniform(0.5, 1.5) for block in range(1, 6)}
    return {
        (block, wave): speed * (1 - change * (wave == 2))
        for block, speed in blocks.items()
        for wave in (1, 2)
    }


def test_a_ratio_of_different_waves_is_exact_where_it_would_be_wrong_by_30_percent() -> None:
    speeds = drifting(0.3)
    anchor = rates(speeds, 1, 90.0) | rates(speeds, 2, 90.0)
    one = Series(rates(speeds, 1, 100.0), anchor)
    other = Series(rates(speeds, 2, 80.0), anchor)

    found = compare(one, other)
    unpaired = compare(Series.of_blocks(one.by_block), Series.of_blocks(other.by_block))

    assert found is not None
    assert unpaired is not None
    assert unpaired.ratio == pytest.approx(1.25 / 0.7)
    assert (found.ratio, found.blocks) == (pytest.approx(1.25), 5)
    assert found.interval.high - found.interval.low < 1e-9
    back = compare(other, one)
    assert back is not None
    assert back.ratio == pytest.approx(1 / 1.25)


def test_the_anchor_and_servers_of_one_wave_are_compared_in_that_wave() -> None:
    """The anchor is 20 % better in wave 1 than in wave 2, whatever that is due to."""
    speeds = drifting(0.3)
    anchor = rates(speeds, 1, 120.0) | rates(speeds, 2, 100.0)
    series = Series(anchor, anchor)
    first, second = Series(rates(speeds, 1, 80.0), anchor), Series(rates(speeds, 2, 40.0), anchor)
    beside = Series(rates(speeds, 2, 50.0), anchor)

    assert list(series.log_ratios(first).values()) == pytest.approx([math.log(1.5)] * 5)
    assert list(series.log_ratios(second).values()) == pytest.approx([math.log(2.5)] * 5)
    assert list(beside.log_ratios(second).values()) == pytest.approx([math.log(1.25)] * 5)
    assert first.log_ratios(second)[1] == pytest.approx(math.log(80 / 120) - math.log(40 / 100))
    # The block's figure of the anchor is the geometric mean of its waves
    assert series.by_block[1] == pytest.approx(math.sqrt(anchor[1, 1] * anchor[1, 2]), rel=1e-9)


def test_without_the_anchor_a_block_has_no_ratio_of_different_waves() -> None:
    speeds = drifting(0.3)
    anchor = rates(speeds, 1, 90.0) | rates(speeds, 2, 90.0)
    del anchor[2, 1]
    one, beside = (Series(rates(speeds, 1, rate), anchor) for rate in (100.0, 50.0))
    other = Series(rates(speeds, 2, 80.0), anchor)

    assert list(one.log_ratios(other)) == list(other.log_ratios(one)) == [1, 3, 4, 5]
    assert list(one.log_ratios(beside)) == [1, 2, 3, 4, 5]
    assert list(Series(anchor, anchor).log_ratios(one)) == [1, 3, 4, 5]
    assert list(one.levelled) == [1, 3, 4, 5]


def test_the_noise_of_the_anchor_widens_the_ratio_of_different_waves() -> None:
    dice = random.Random(5)  # noqa: S311 (figures to repeat, not secrets)

    def noisy(wave: int) -> dict[tuple[int, int], float]:
        return {(block, wave): math.exp(dice.gauss(0, 0.02)) for block in range(400)}

    anchor = noisy(1) | noisy(2)
    one, beside, other = (Series(noisy(wave), anchor) for wave in (1, 1, 2))
    near, far = (list(one.log_ratios(to).values()) for to in (beside, other))

    def spread(logs: list[float]) -> float:
        return math.sqrt(sum(value * value for value in logs) / len(logs))

    assert spread(far) / spread(near) == pytest.approx(math.sqrt(2), rel=0.1)


def campaign(change: float = 0.3) -> tuple[dict[str, Any], Lines, Lines]:
    """The toys in two waves of a host that is slower in wave 2; each costs the same always."""
    head = synthetic.campaign(trials=BLOCKS)
    waves = {"anchor": ANCHOR, "members": [list(one) for one in MEMBERS.values()]}
    head["waves"] = waves | {"because": ["memory"]}
    head["profile"]["side_by_side"] = True
    plan: Lines = []
    for trial in head["plan"]:
        name = trial["variant"]
        for wave in [WAVE_OF[name]] if name != ANCHOR else MEMBERS:
            plan.append(trial | {"id": f"{trial['block']}.{wave}-{name}", "wave": wave})
    head["plan"] = plan
    lines = synthetic.records(head)
    of = {trial["id"]: trial["wave"] for trial in plan}
    for line in lines:
        line["wave"] = of[line["trial"]]
        if "cpu_ns" in line["server"] and line["scenario"] == "idle":
            slower = 1 / (1 - change * (line["wave"] == 2)) * (1 + 0.02 * line["block"])
            cost_us = COST_US[line["variant"]] * slower
            line["server"]["cpu_ns"] = round(line["echoes"] * cost_us * 1e3)
    return head, lines, synthetic.outcomes(head)


def ratios(found: Analysis) -> dict[tuple[str, str], tuple[float, int]]:
    """{pair: (ratio, blocks)} at the headline."""
    return {
        (pair.one, pair.other): (pair.comparison.ratio, pair.comparison.blocks)
        for group in found.groups
        for pair in group.pairs
        if pair.comparison
    }


def test_a_campaign_in_waves_ranks_as_if_all_servers_had_run_at_once() -> None:
    found = analyse(*campaign())

    pairs = ratios(found)
    assert len(pairs) == 10  # select-fdset ends below 10,000 connections
    for (one, other), (ratio, blocks) in pairs.items():
        assert ratio == pytest.approx(COST_US[other] / COST_US[one], rel=1e-4)
        assert blocks == BLOCKS
    ranked = [row.variant for row in found.rows if row.places]
    assert ranked == ["epoll-et", "epoll-lt", "poll", "select", "thread-per-connection"]
    # By their figures alone it would be in front of the servers of the slower wave
    threads, select = (found.cell(name, found.headline.key) for name in (ranked[4], ranked[3]))
    assert threads is not None
    assert select is not None
    assert threads.efficiency is not None
    assert select.efficiency is not None
    assert threads.efficiency.mean > select.efficiency.mean
    anchor = found.cell(ANCHOR, found.headline.key)
    assert anchor is not None
    assert anchor.efficiency is not None
    assert (anchor.count("valid"), len(anchor.efficiency.blocks)) == (2 * BLOCKS, BLOCKS)


def test_a_void_cell_of_the_anchor_takes_the_ratios_of_other_waves_from_its_block() -> None:
    head, lines, outcomes = campaign()
    lines = copy.deepcopy(lines)
    for line in lines:
        if (line["variant"], line["block"], line["wave"]) == (ANCHOR, 3, 2):
            line["corrupt_bytes"] = 1

    built = model.build(head, lines, outcomes)

    pairs = ratios(built.analysis)
    assert pairs["epoll-et", "thread-per-connection"][1] == BLOCKS
    assert pairs["poll", "select"][1] == BLOCKS
    assert pairs["epoll-et", ANCHOR][1] == BLOCKS
    assert pairs["epoll-et", "poll"][1] == pairs[ANCHOR, "select"][1] == BLOCKS - 1
    assert "epoll-lt has no figure in 1 of 8 waves" in built.validity.text


def test_the_report_says_that_there_were_waves_and_through_which_server_they_are_paired() -> None:
    built = model.build(*campaign())

    assert (
        "4 interleaved trials, the servers of a block side by side in 2 waves of at most 4 "
        "servers, paired through epoll-lt"
    ) in " · ".join(built.setting)
    assert (
        "the servers of each block ran in 2 waves: ratios between servers of different waves go "
        "through epoll-lt, so their intervals are wider"
    ) in built.validity.text
    assert "has no figure" not in built.validity.text
    alone = model.build(head := synthetic.campaign(), synthetic.records(head), [])
    assert "wave" not in alone.validity.text + "".join(alone.setting)
