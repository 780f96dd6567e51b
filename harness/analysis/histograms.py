"""Merge the histograms of a cell's trials, because percentiles cannot be averaged."""

from __future__ import annotations

from collections.abc import Sequence

from hdrh.histogram import HdrHistogram

from harness.analysis.results import Latency
from harness.engine import histogram

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
# Points of the percentile curve per factor of ten in 1 / (1 - p).
CURVE_STEPS = 6
# Values that must lie beyond a percentile of the curve: as p99.9 needs 10,000 values.
BEYOND_MIN = 10


def merged_latency(encoded: Sequence[str], *, with_curve: bool = False) -> Latency | None:
    """Merge histograms in the standard compressed encoding (base64); None without a value.

    It computes no mean: the package's mean visits every bucket in Python, 0.03 s for each cell.
    """
    merged = histogram.merge([])
    for text in encoded:
        merged.add(histogram.decode(text))
    count = int(merged.get_total_count())
    if not count:
        return None
    p50, p90, p99, p999 = merged.get_percentile_to_value_dict(PERCENTILES).values()
    is_deep = count >= histogram.P999_COUNT_MIN
    most = float(merged.get_max_value())
    return Latency(
        float(p50),
        float(p90),
        float(p99),
        float(p999) if is_deep else None,
        most,
        count,
        _curve(merged, count) if with_curve else (),
    )


def _curve(merged: HdrHistogram, count: int) -> tuple[tuple[float, float], ...]:
    places = [1.0]
    while (place := 10 ** (len(places) / CURVE_STEPS)) * BEYOND_MIN <= count:
        places.append(place)
    percentiles = [100 * (1 - 1 / place) for place in places]
    values = merged.get_percentile_to_value_dict(percentiles)
    return tuple(
        (place, float(values[percentile]))
        for place, percentile in zip(places, percentiles, strict=True)
    )
