"""When two ways to measure agree: the rule of the benchmarks, against known answers."""

from __future__ import annotations

import math

import agreement
import pytest
from scipy import stats


def test_the_interval_is_that_of_two_one_sided_tests_at_five_percent() -> None:
    ratios = [1.02, 0.99, 1.03, 1.01, 0.98]
    logs = [math.log(ratio) for ratio in ratios]
    low, high = stats.t.interval(0.90, 4, loc=sum(logs) / 5, scale=stats.sem(logs))

    found = agreement.of(ratios, within=0.05)

    assert found.ratio == pytest.approx(math.exp(sum(logs) / 5))
    assert found.interval is not None
    assert found.interval.low == pytest.approx(math.exp(low))
    assert found.interval.high == pytest.approx(math.exp(high))
    assert found.span == f"{math.exp(low):.3f}-{math.exp(high):.3f}"


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.01, 0.99, 1.02, 1.00], "agree"),
        ([1.06, 1.07, 1.06, 1.07], "DIFFER"),
        ([0.94, 0.93, 0.94, 0.93], "DIFFER"),
        # As near to 1 as can be, and by luck: any of the four may be the odd one
        ([1.20, 0.83, 1.20, 0.83], "not settled"),
        # Inside by little, and surely by less than that
        ([1.04, 1.03, 1.06, 1.05], "not settled"),
        # Two rounds have no interval
        ([1.00, 1.00], "not settled"),
    ],
)
def test_only_an_interval_within_the_bound_is_agreement(ratios: list[float], verdict: str) -> None:
    found = agreement.of(ratios, within=0.05)

    assert found.verdict == verdict
    assert found.holds is (verdict == "agree")
