"""Ticks in steps of 1-2-5, and labels that do not cover each other."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.charts.axes import HEIGHT, LINE_PX, Label, apart, linear, logarithmic


@pytest.mark.parametrize(
    ("high", "ticks"),
    [
        (10_000, (0, 2_000, 4_000, 6_000, 8_000, 10_000)),
        (160_000, (0, 50_000, 100_000, 150_000, 200_000)),
        (0.9, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    ],
)
def test_a_linear_axis_begins_at_zero(high: float, ticks: tuple[float, ...]) -> None:
    assert linear(high).ticks == pytest.approx(ticks)


def test_a_logarithmic_axis_is_fitted_in_steps_of_1_2_5() -> None:
    assert logarithmic(1.2, 4.3).ticks == pytest.approx((1, 2, 5))
    assert logarithmic(0.002, 1.1).ticks == pytest.approx((0.01, 0.1, 1))
    assert logarithmic(0.5, 20).ticks == pytest.approx((0.5, 1, 2, 5, 10, 20))


@given(st.floats(1e-3, 1e6), st.floats(1, 1e4))
def test_an_axis_holds_its_data(low: float, factor: float) -> None:
    scale = logarithmic(low, low * factor)

    assert scale.low <= low * (1 + 1e-9)
    assert scale.high >= low * factor * (1 - 1e-9)
    assert linear(low).high >= low * (1 - 1e-9)


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=12))
def test_labels_are_moved_apart_and_stay_beside_the_plot(ends: list[float]) -> None:
    scale = linear(1_000)
    labels = apart([Label(str(end), 0, 1.0, end) for end in ends], scale)

    places = [scale.pixel(label.y, HEIGHT) for label in labels]
    assert [label.text for label in labels] == [str(end) for end in sorted(ends)]
    assert all(b - a >= LINE_PX - 1e-6 for a, b in pairwise(places))
    assert all(-1e-6 <= place <= HEIGHT + 1e-6 for place in places)


def test_labels_that_do_not_collide_stay_where_they_are() -> None:
    scale = logarithmic(1, 1_000)
    labels = [Label("a", 0, 1.0, 2.0), Label("b", 1, 1.0, 500.0)]

    assert [label.y for label in apart(labels, scale)] == pytest.approx([2.0, 500.0])


def test_two_that_collide_give_way_by_half_each() -> None:
    scale = linear(HEIGHT)
    scale = type(scale)(0.0, float(HEIGHT), scale.ticks, is_log=False)
    labels = apart([Label("a", 0, 1.0, 100.0), Label("b", 1, 1.0, 104.0)], scale)

    assert [label.y for label in labels] == pytest.approx([102 - LINE_PX / 2, 102 + LINE_PX / 2])
    assert math.isclose(labels[1].y - labels[0].y, LINE_PX)
