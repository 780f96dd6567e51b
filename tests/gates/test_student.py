"""Student's t distribution against SciPy's."""

from __future__ import annotations

import math

import pytest
from scipy import special

from harness.gates import student_t

FREEDOMS = (0.3, 1.0, 1.5, 2.0, 3.0, 4.7, 7.0, 9.99, 30.0, 1234.5, 1e5)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_probabilities_are_scipys(freedom: float) -> None:
    for t in (0.0, 1e-6, 0.01, 0.5, 1.0, 2.0, 5.0, 50.0, 1e3, -2.0):
        expected = float(2 * special.stdtr(freedom, -abs(t)))
        assert student_t.p_value(t, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_critical_values_are_scipys(freedom: float) -> None:
    for confidence in (0.5, 0.8, 0.95, 0.99, 0.9999, 0.999999):
        expected = float(special.stdtrit(freedom, 0.5 + confidence / 2))
        assert student_t.critical(confidence, freedom) == pytest.approx(expected, rel=1e-8)


def test_what_is_no_distribution_has_no_value() -> None:
    assert math.isnan(student_t.critical(0.95, 0))
    assert math.isnan(student_t.p_value(math.nan, 3))
    assert student_t.p_value(math.inf, 3) == 0.0
