"""Every statistic against a known answer: by hand, or by SciPy's own implementation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.intervals import (
    CONFIDENCE,
    Comparison,
    Interval,
    compare,
    estimate,
    log_interval,
)
from harness.analysis.series import Series


def test_the_interval_of_the_geometric_mean_is_the_one_computed_by_hand() -> None:
    """ln 100, ln 110, ln 121 are ln 1.1 apart: s = 0.09531, t(2; 97.5 %) = 4.3027."""
    found = log_interval([100.0, 110.0, 121.0])

    half = 4.302653 * 0.0953102 / math.sqrt(3)
    assert found is not None
    assert found.low == pytest.approx(110 * math.exp(-half), rel=1e-6)
    assert found.high == pytest.approx(110 * math.exp(half), rel=1e-6)


def test_the_interval_agrees_with_scipy() -> None:
    values = [31.2, 29.8, 33.1, 30.5, 32.2]
    logs = [math.log(value) for value in values]
    low, high = stats.t.interval(0.95, 4, loc=sum(logs) / 5, scale=stats.sem(logs))

    assert log_interval(values) == Interval(
        pytest.approx(math.exp(low)), pytest.approx(math.exp(high))
    )


def test_fewer_than_three_trials_have_a_mean_and_no_interval() -> None:
    found = estimate(Series.of_blocks({1: 9.0, 2: 16.0}))

    assert found is not None
    assert (found.mean, found.interval, found.half_width) == (pytest.approx(12.0), None, None)


def test_an_estimate_is_the_geometric_mean_with_the_multiplicative_half_width() -> None:
    found = estimate(Series.of_blocks({3: 121.0, 1: 100.0, 2: 110.0}))

    assert found is not None
    assert found.blocks == ((1, 100.0), (2, 110.0), (3, 121.0))
    assert found.mean == pytest.approx(110.0)
    assert found.half_width == pytest.approx(math.exp(4.302653 * 0.0953102 / math.sqrt(3)) - 1)


def test_a_value_without_a_logarithm_is_no_value() -> None:
    assert estimate(Series.of_blocks({1: 0.0, 2: -1.0})) is None


def compared(
    one: dict[int, float], other: dict[int, float], confidence: float = CONFIDENCE
) -> Comparison:
    found = compare(Series.of_blocks(one), Series.of_blocks(other), confidence)
    assert found is not None
    return found


@pytest.mark.parametrize("confidence", [0.95, 0.9975])
def test_the_interval_is_that_of_the_paired_t_test_on_logarithms(confidence: float) -> None:
    best = {1: 100.0, 2: 104.0, 3: 99.0, 4: 101.0}
    other = {1: 90.0, 2: 97.0, 3: 88.0, 4: 93.0}
    expected = stats.ttest_rel([math.log(v) for v in best.values()],
                               [math.log(v) for v in other.values()])  # fmt: skip

    found = compared(best, other, confidence)

    interval = expected.confidence_interval(confidence)
    assert found.confidence == confidence
    assert found.interval.low == pytest.approx(math.exp(interval.low))
    assert found.interval.high == pytest.approx(math.exp(interval.high))


def test_drift_that_all_of_a_block_share_is_no_noise() -> None:
    best = {1: 100.0, 2: 50.0, 3: 400.0}
    other = {block: value / 1.25 for block, value in best.items()}

    found = compared(best, other)

    assert found.ratio == pytest.approx(1.25)
    assert found.interval.high - found.interval.low < 1e-9
    assert found.outcome == "different"


def test_pairs_are_made_by_block_and_not_by_place() -> None:
    best = {1: 100.0, 2: 200.0, 3: 300.0, 4: 400.0}
    other = {4: 200.0, 3: 150.0, 2: 100.0, 9: 1.0}

    found = compared(best, other)

    assert (found.blocks, found.ratio) == (3, pytest.approx(2.0))


@pytest.mark.parametrize(
    ("ratios", "outcome"),
    [
        ([1.00, 1.01, 0.99, 1.00], "equivalent"),
        ([1.20, 1.22, 1.18, 1.21], "different"),
        ([0.80, 0.81, 0.79, 0.80], "different"),
        ([1.02, 1.021, 1.019, 1.02], "equivalent"),
        ([1.03, 1.07, 1.025, 1.06], "inconclusive"),
        ([1.045, 1.055, 1.04, 1.052], "inconclusive"),
        ([0.80, 1.40, 1.10, 1.00], "inconclusive"),
    ],
    ids=["same", "20 % apart", "20 % behind", "surely 2 % apart", "surely apart, by less than 5 %",
         "at the bound", "too noisy"],
)  # fmt: skip
def test_a_comparison_ends_in_one_of_three_outcomes(ratios: list[float], outcome: str) -> None:
    best = dict(enumerate(ratios, start=1))
    other = dict.fromkeys(best, 1.0)

    assert compared(best, other).outcome == outcome


def test_two_identical_sets_are_equivalent() -> None:
    same = {1: 10.0, 2: 11.0, 3: 12.0}
    found = compared(same, dict(same))

    assert (found.ratio, found.outcome) == (1.0, "equivalent")


def test_fewer_than_three_common_blocks_are_not_compared() -> None:
    one, other = (Series.of_blocks(dict.fromkeys(range(count), 1.0)) for count in (3, 2))

    assert compare(one, other) is None


def test_an_a_a_pair_is_seldom_called_different() -> None:
    """600 pairs of the same server: intervals of 95 %, and an effect of 5 % on top, allow few."""
    dice = random.Random(7)  # noqa: S311 (figures to repeat, not secrets)
    called = 0
    for _ in range(600):
        one, other = ({b: math.exp(dice.gauss(0, 0.03)) for b in range(5)} for _ in range(2))
        called += compared(one, other).outcome == "different"

    assert called <= 600 * 0.05


@given(st.lists(st.floats(0.1, 1e6), min_size=3, max_size=10))
def test_the_geometric_mean_is_inside_its_interval(values: list[float]) -> None:
    found = estimate(Series.of_blocks(dict(enumerate(values))))

    assert found is not None
    assert found.interval is not None
    assert found.interval.low <= found.mean * (1 + 1e-9)
    assert found.mean <= found.interval.high * (1 + 1e-9)
