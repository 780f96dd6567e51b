"""Figures of the report against answers that are known by hand."""

from __future__ import annotations

import copy
import math
import statistics
from typing import Any

import pytest
import synthetic

from harness.analysis import Analysis, analyse
from harness.analysis.histograms import merged_latency
from harness.engine import histogram

Lines = list[dict[str, Any]]


def analysed(head: dict[str, Any], lines: Lines) -> Analysis:
    return analyse(head, lines, synthetic.outcomes(head))


def of(lines: Lines, variant: str, scenario: str, connections: int) -> Lines:
    wanted = (variant, scenario, connections)
    names = ("variant", "scenario", "connections_requested")
    return [line for line in lines if tuple(line[name] for name in names) == wanted]


def test_a_percentile_curve_ends_where_ten_values_are_left_beyond_it() -> None:
    """1 to 10,000 µs in two halves: six points for each factor of ten, the last one p99.9."""
    halves = []
    for start in (1, 5_001):
        half = histogram.merge([])
        for value_us in range(start, start + 5_000):
            half.record_value(value_us)
        halves.append(histogram.encode(half))

    found = merged_latency(halves, with_curve=True)

    assert found is not None
    places = [place for place, _ in found.curve]
    assert places == pytest.approx([10 ** (step / 6) for step in range(19)])
    for place, found_us in found.curve:
        # The values up to it are the share 1 - 1 / place of 10,000; three digits are kept
        assert found_us == pytest.approx(max(1, 10_000 * (1 - 1 / place)), rel=2e-3, abs=1)
    assert merged_latency(halves) is not None
    assert merged_latency([]) is None


def test_a_contrast_is_the_best_of_the_headline_over_another_at_each_cell(
    head: dict[str, Any], records: Lines
) -> None:
    """Twice, 2.2 and 2.4 times as many echoes per CPU second: their geometric mean, by block."""
    best = next(row.variant for row in analysed(head, records).rows if row.is_best)
    other = next(name for name in ("poll", "select") if name != best)
    lines = copy.deepcopy(records)
    for variant, rates in ((best, (200.0, 440.0, 240.0)), (other, (100.0, 200.0, 100.0))):
        for line, per_cpu_ms in zip(of(lines, variant, "active", 1_000), rates, strict=True):
            line["server"]["cpu_ns"] = round(line["echoes"] / per_cpu_ms * 1e6)

    (found,) = (
        one
        for one in analysed(head, lines).contrasts
        if (one.variant, one.key.scenario, one.key.connections) == (other, "active", 1_000)
    )

    assert found.best == best
    assert found.comparison.ratio == pytest.approx(math.pow(2.0 * 2.2 * 2.4, 1 / 3), rel=1e-6)
    assert found.comparison.blocks == 3


def test_memory_is_told_as_a_multiple_of_the_median_server_s(
    head: dict[str, Any], records: Lines
) -> None:
    lines = copy.deepcopy(records)
    names = sorted({line["variant"] for line in lines if line["scenario"] == "idle"})
    for place, name in enumerate(names, 1):
        for line in of(lines, name, "idle", 10_000):
            blank = dict.fromkeys(("user", "stack", "kernel", "sockets"), 0)
            line["server"]["memory_baseline_bytes"] = blank
            half = place * 5_000_000
            line["server"]["memory_bytes"] = blank | {"user": half, "kernel": half}

    rows = {row.variant: row for row in analysed(head, lines).rows}

    told = {place: rows[name].memory_ratio for place, name in enumerate(names, 1)}
    middle = statistics.median(place for place, ratio in told.items() if ratio)
    assert len(told) >= 3
    for place, ratio in told.items():
        assert ratio is None or ratio == pytest.approx(place / middle)
