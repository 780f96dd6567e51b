"""A window's figures in Locust's own statistics, as one bulk merge per window.

Locust's master adds up what its workers report, so its console and CSV show the run. They round to
milliseconds, so no result is ever taken from them.
"""

from __future__ import annotations

import time

from locust import stats as locust_stats
from locust.stats import RequestStats, StatsEntry

from harness.engine import Window, histogram

NAME = "echo"
METHOD = "TCP"


def fold(stats: RequestStats, window: Window) -> None:
    """Merge one window: the cost is that of its distinct latencies, not of its messages."""
    if window["count"] == 0:
        return
    entry = _entry(stats, window)
    stats.get(NAME, METHOD).extend(entry)
    stats.total.extend(entry)


def _entry(stats: RequestStats, window: Window) -> StatsEntry:
    now_s = time.time()
    entry = StatsEntry(stats, NAME, METHOD)
    entry.num_requests = window["echoes"]
    entry.num_reqs_per_sec[int(now_s)] = window["echoes"]
    entry.last_request_timestamp = now_s
    entry.total_content_length = window["bytes"]
    entry.total_response_time = window["latency_sum_ns"] // 1_000_000
    entry.max_response_time = window["latency_max_ns"] // 1_000_000
    for latency_us, count in histogram.recorded(histogram.merge([window["histogram"]])):
        entry.response_times[locust_stats.bucket_response_time(latency_us / 1000)] += count
    entry.min_response_time = min(entry.response_times)
    return entry
