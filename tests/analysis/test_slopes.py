"""What each further connection costs: known answers, and the coverage of the intervals."""

from __future__ import annotations

import math
import random

import pytest
import synthetic
from lines import analyse
from scipy import stats

from harness.analysis import slopes
from harness.analysis.looks import Look

NS = (100, 500, 1_000, 2_000, 5_000, 10_000)


def test_the_slope_of_a_straight_line_is_the_line_s() -> None:
    """6 µs, and 2.1 µs more for each 1,000 connections."""
    costs = {n: 6 + 2.1 * n / 1_000 for n in NS}

    assert slopes.slope_of_block(costs) == pytest.approx(2.1)


def test_the_slope_and_its_interval_are_those_computed_by_hand() -> None:
    """Two N that are 1,000 apart: the slopes are the differences 1, 2 and 3 µs; s = 1."""
    costs = {100: {1: 5.0, 2: 5.0, 3: 5.0}, 1_100: {1: 6.0, 2: 7.0, 3: 8.0}}

    found = slopes.slope(costs, 0.95)

    half = 4.302653 / math.sqrt(3)
    assert found is not None
    assert found.us == pytest.approx(2.0)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (2 - half, 2 + half), rel=1e-6
    )
    assert (found.smallest, found.largest, found.blocks) == (100, 1_100, 3)
    assert found.outcome == "inconclusive"  # zero is inside


def test_the_interval_agrees_with_scipy() -> None:
    dice = random.Random(3)  # noqa: S311 (figures to repeat, not secrets)
    costs = {n: {block: 6 + n / 1_000 + dice.gauss(0, 0.2) for block in range(8)} for n in NS}
    each = [stats.linregress(NS, [costs[n][block] for n in NS]).slope * 1_000 for block in range(8)]
    low, high = stats.t.interval(0.99, 7, loc=sum(each) / 8, scale=stats.sem(each))

    found = slopes.slope(costs, 0.99)

    assert found is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert found.outcome == "different"


@pytest.mark.parametrize(
    ("costs", "blocks"),
    [
        pytest.param({100: {1: 5.0, 2: 5.0, 3: 5.0}}, None, id="one N"),
        pytest.param({100: {1: 5.0, 2: 5.0}, 1_000: {1: 6.0, 2: 6.0}}, None, id="two blocks"),
        pytest.param(
            {100: {1: 5.0, 2: 5.0, 3: 5.0, 4: 5.0}, 500: {1: 5.1}, 1_000: {1: 6, 2: 6, 3: 6.1}},
            3,
            id="a block without the largest N, and blocks without one between",
        ),
        pytest.param({100: {1: 5, 2: 5, 3: 5.2}, 500: {}, 900: {1: 6, 2: 6, 3: 6}}, 3, id="empty"),
    ],
)
def test_a_block_counts_with_the_smallest_and_the_largest_n(
    costs: slopes.Costs, blocks: int | None
) -> None:
    found = slopes.slope(costs, 0.95)

    assert (found.blocks if found else None) == blocks


@pytest.mark.parametrize(
    ("us", "spread_us", "outcome"),
    [
        (1.0, 0.01, "different"),
        (-0.3, 0.01, "different"),
        (0.005, 0.01, "equivalent"),  # 0.05 µs at 10,000 are 1 % of 5 µs
        (0.0, 2.0, "inconclusive"),
    ],
)
def test_below_5_percent_of_growth_nothing_is_said_to_grow(
    us: float, spread_us: float, outcome: str
) -> None:
    dice = random.Random(1)  # noqa: S311 (figures to repeat, not secrets)
    costs = {
        n: {block: 5 + us * n / 1_000 + dice.gauss(0, spread_us) for block in range(8)} for n in NS
    }

    found = slopes.slope(costs, 0.95)

    assert found is not None
    assert found.outcome == outcome


@pytest.mark.parametrize(("drift", "noise"), [(0.0, 0.02), (0.15, 0.01), (0.05, 0.05)])
def test_the_interval_contains_the_true_slope_as_often_as_it_says(
    drift: float, noise: float
) -> None:
    """600 campaigns of eight blocks whose host drifts from block to block; the truth is 2 µs."""
    dice = random.Random(11)  # noqa: S311 (figures to repeat, not secrets)
    campaigns, covered = 600, 0
    for _ in range(campaigns):
        speeds = [1 + dice.uniform(-drift, drift) for _ in range(8)]
        costs = {
            n: {
                block: (6 + 2 * n / 1_000) * speed * (1 + dice.gauss(0, noise))
                for block, speed in enumerate(speeds)
            }
            for n in NS
        }
        found = slopes.slope(costs, 0.95)
        assert found is not None
        covered += found.interval.contains(2.0)

    error = math.sqrt(0.95 * 0.05 / campaigns)
    assert covered / campaigns == pytest.approx(0.95, abs=3.5 * error)


def test_the_slopes_of_a_campaign_share_the_error_of_its_look() -> None:
    head = synthetic.campaign(trials=8)
    cells = analyse(head, synthetic.records(head), synthetic.outcomes(head)).cells
    idle = [cell for cell in cells if cell.key.scenario == "idle"]

    found = slopes.slopes(idle, Look(1, 8))

    assert {one.confidence for one in found.values()} == {Look(1, 8).confidence_of(6)}
    assert found["poll"].us == pytest.approx(2.0, rel=0.05)  # of the toys: 0.0020 µs each
    assert found["poll"].outcome == "different"
    assert found["epoll-lt"].outcome == "equivalent"
    assert found["select-fdset"].largest == 1_000
    assert {name for name, _ in slopes.ordered(found)[:3]} == {"poll", "select", "select-fdset"}
    assert slopes.slopes(idle, None) == {}
