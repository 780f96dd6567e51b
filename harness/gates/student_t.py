"""Compute Student's t distribution for intervals and tests. Pure.

It is plain Python, because a library of 140 MB would enlarge the image and delay every command that
draws a report. Tests compare the two functions with SciPy's.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

PRECISION = 1e-15
# A continued fraction takes as many terms as the square root of the degrees of freedom, roughly; a
# root takes fewer than 100 steps.
TERMS_MAX = 100_000
STEPS_MAX = 1_000
TINY = 1e-300


@functools.lru_cache(maxsize=4096)
def critical(confidence: float, freedom: float) -> float:
    """Return half of the width of a two-sided interval, in standard errors.

    Args:
        confidence: 0.95 for a 95 % interval.
        freedom: degrees of freedom, whole or not (Welch).
    """
    if not freedom > 0 or not 0 < confidence < 1:
        return math.nan
    beyond = 1 - confidence
    # The tails are heavier than the normal distribution's and fall ever more slowly. Newton's steps
    # therefore start below the root and never pass it
    t = NormalDist().inv_cdf(0.5 + confidence / 2)
    for _ in range(STEPS_MAX):
        step = (p_value(t, freedom) - beyond) / (2 * _density(t, freedom))
        t += step
        if abs(step) <= PRECISION * t:
            break
    return t


def p_value(t: float, freedom: float) -> float:
    """Return the two-sided probability of a value at least as far from 0 as `t`."""
    t, freedom = float(t), float(freedom)
    if not freedom > 0 or math.isnan(t):
        return math.nan
    squared = t * t
    if math.isinf(squared):
        return 0.0
    return _incomplete_beta(
        freedom / (freedom + squared), squared / (freedom + squared), freedom / 2
    )


def _density(t: float, freedom: float) -> float:
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    log_scale -= math.log(freedom * math.pi) / 2
    return math.exp(log_scale - (freedom + 1) / 2 * math.log1p(t * t / freedom))


def _incomplete_beta(x: float, rest: float, a: float) -> float:
    """Return the regularised I_x(a, 1/2); `rest` is 1 - x (DLMF 8.17.4 and 8.17.22)."""
    if rest <= 0:
        return 1.0
    b = 0.5
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log(rest)
    front = math.exp(log_front)
    if x < (a + 1) / (a + b + 2):
        return front / a * _fraction(x, a, b)
    return 1 - front / b * _fraction(rest, b, a)


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction of DLMF 8.17.22 by Lentz's method."""
    value = c = 1.0
    d = 0.0
    for term in range(TERMS_MAX):
        m = term // 2
        if term == 0:
            numerator = 1.0
        elif term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + numerator * d or TINY)
        c = 1 + numerator / c or TINY
        value *= c * d
        if abs(1 - c * d) < PRECISION:
            break
    return value - 1
