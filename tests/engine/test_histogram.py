"""Histograms in the standard encoding, against the PyPI `hdrhistogram` package."""

from __future__ import annotations

import base64
import zlib

import pytest
from echo_server import EchoServer
from engine_bench import Bench
from engine_driving import open_connections, run_cell
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.histogram import decode, encode, merge, percentiles, recorded

HEADER_BYTES = 8  # cookie and length before the compressed payload

# The package walks its 17,408 cells in Python: slow on a busy machine, and no reason to fail.
calmly = settings(deadline=None, max_examples=30)
latencies_us = st.lists(st.integers(1, 60_000_000), min_size=1, max_size=300)


def payload_of(values_us: list[int]) -> bytes:
    """What the package itself writes for these values, without compression and base64."""
    histogram = HdrHistogram(1, 60_000_000, 3)
    for value in values_us:
        histogram.record_value(value)
    return zlib.decompress(base64.b64decode(histogram.encode())[HEADER_BYTES:])


@calmly
@given(latencies_us)
def test_what_is_packed_is_read_back_the_same(values_us: list[int]) -> None:
    histogram = merge([payload_of(values_us)])

    again = decode(encode(histogram))

    assert percentiles(again) == percentiles(histogram)
    assert again.get_total_count() == len(values_us)


@calmly
@given(latencies_us, latencies_us)
def test_merging_is_recording_all_values_in_one(one: list[int], other: list[int]) -> None:
    merged = merge([payload_of(one), payload_of(other)])

    assert percentiles(merged) == percentiles(merge([payload_of(one + other)]))


@calmly
@given(latencies_us)
def test_what_is_recorded_is_what_the_package_says_it_is(values_us: list[int]) -> None:
    histogram = merge([payload_of(values_us)])

    assert list(recorded(histogram)) == [
        (item.value_iterated_to, item.count_at_value_iterated_to)
        for item in histogram.get_recorded_iterator()
    ]


@calmly
@given(latencies_us)
def test_percentiles_are_right_to_three_digits(values_us: list[int]) -> None:
    figures = percentiles(merge([payload_of(values_us)]))

    ordered = sorted(values_us)
    assert figures["count"] == len(values_us)
    assert figures["max"] == pytest.approx(ordered[-1], rel=1e-3)
    assert figures["mean"] == pytest.approx(sum(values_us) / len(values_us), rel=1e-3)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        rank = max(1, int(share * len(ordered) + 0.5))
        assert figures[name] == pytest.approx(ordered[rank - 1], rel=1e-3)  # type: ignore[literal-required]


def test_the_highest_percentile_needs_ten_thousand_values() -> None:
    few = merge([payload_of([5] * 9_999)])
    enough = merge([payload_of([5] * 10_000)])

    assert percentiles(few)["p999"] is None
    assert percentiles(enough)["p999"] == 5.0


def test_nothing_recorded_has_no_percentiles() -> None:
    figures = percentiles(merge([]))

    assert figures == {
        "p50": None,
        "p90": None,
        "p99": None,
        "p999": None,
        "max": None,
        "mean": None,
        "count": 0,
    }


def test_the_engine_writes_byte_for_byte_what_the_package_writes(bench: Bench) -> None:
    address, _ = bench.serve(EchoServer)
    engine = bench.engine(address)
    open_connections(engine, 30)
    window = run_cell(engine, active=30, depth=5)

    for name in ("histogram", "send_lag_histogram"):
        payload = window[name]
        packed = base64.b64decode(encode(merge([payload])))
        assert zlib.decompress(packed[HEADER_BYTES:]) == payload
