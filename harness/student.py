"""Student's t distribution, as intervals and tests ask for it. Pure.

Of SciPy only the functions that are needed: `scipy.stats` takes three times as long to import,
which every command that draws a report would wait for.
"""

from __future__ import annotations

from scipy import special


def critical(confidence: float, freedom: float) -> float:
    """How many standard errors wide half of a two-sided interval is.

    Args:
        confidence: 0.95 for a 95 % interval.
        freedom: degrees of freedom, whole or not (Welch).
    """
    return float(special.stdtrit(freedom, 0.5 + confidence / 2))


def p_value(t: float, freedom: float) -> float:
    """Two-sided probability of a value as far from 0 as `t`, or farther."""
    return float(2 * special.stdtr(freedom, -abs(t)))
