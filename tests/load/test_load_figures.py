"""Several engines as one, and a finished cell as a record. Values in, values out."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from locust.stats import RequestStats

from harness.contract.trial_spec import Ceiling, PlacedCell
from harness.engine import histogram
from harness.load import cell_records, merged_figures, problems
from harness.load.locust.stats import METHOD, NAME, fold
from harness.load.merged_figures import Status
from harness.load.probe.readings import Edge, TaskSample


@given(
    held=st.dictionaries(st.text(min_size=1), st.integers(0, 5000), min_size=1, max_size=9),
    data=st.data(),
)
def test_shares_add_up_and_nobody_gets_more_than_it_holds(
    held: dict[str, int], data: st.DataObject
) -> None:
    active = data.draw(st.integers(0, sum(held.values())))
    split = merged_figures.shares(active, held)
    assert sum(split.values()) == active
    assert all(0 <= split[name] <= held[name] for name in held)


def test_the_remainder_is_not_lost() -> None:
    assert sorted(merged_figures.shares(100, {"a": 34, "b": 33, "c": 33}).values()) == [33, 33, 34]
    assert merged_figures.shares(1, {"a": 5, "b": 5, "c": 5}) == {"a": 1, "b": 0, "c": 0}


def test_more_active_than_established_is_refused() -> None:
    with pytest.raises(ValueError, match="11 active connections of 10 established"):
        merged_figures.shares(11, {"a": 5, "b": 5})


def encoded(*values_us: int) -> bytes:
    """An engine's payload with these values."""
    one = HdrHistogram(histogram.LOWEST_US, histogram.HIGHEST_US, histogram.DIGITS)
    for value in values_us:
        one.record_value(value)
    return zlib.decompress(base64.b64decode(histogram.encode(one))[8:])


def window(*values_us: int, start_ns: int = 0, end_ns: int = 10**9, **changes: Any) -> Any:
    return {
        "start_ns": start_ns,
        "end_ns": end_ns,
        "echoes": len(values_us),
        "parts": [[10**8, number] for number in range(10)],
        "bytes": 64 * len(values_us),
        "established_min": 10,
        "histogram": encoded(*values_us),
        "latency_sum_ns": 1000 * sum(values_us),
        "latency_max_ns": 1000 * max(values_us, default=0),
        "count": len(values_us),
        "send_lag_histogram": encoded(1),
        "self_delay_histogram": None,
        "clock_step_ns": 80,
        "cpu_ns": 400_000_000,
        "blocked_ns": 600_000_000,
        "spun_ns": 0,
        "sends": len(values_us),
        "missed_sends": 1,
        "outstanding_time_ns": 3 * 10**9,
        "connect_histogram": None,
        **changes,
    }


def test_windows_are_merged_by_adding_counts_and_histograms() -> None:
    merged = merged_figures.merge_windows([window(100, 200, 300), window(400, cpu_ns=900_000_000)])
    assert merged.echoes == 4
    assert merged.echoes_per_s == pytest.approx(4)
    assert merged.established_min == 20
    assert merged.outstanding == pytest.approx(6)
    assert merged.missed_sends == 2
    assert merged.cpu_busy == pytest.approx(0.9)
    assert merged.latency_mean_us == pytest.approx(250)
    assert merged.latency_max_us == 400
    assert merged.self_delay is None
    assert cell_records.distribution(merged.latency)["p50"] == 200  # type: ignore[index]


def test_a_self_delay_across_a_clock_step_is_left_out() -> None:
    steady = merged_figures.merge_windows([window(1, self_delay_histogram=encoded(9))])
    assert cell_records.distribution(steady.self_delay)["p50"] == 9  # type: ignore[index]
    stepped = window(1, self_delay_histogram=encoded(9), clock_step_ns=-1_000_000)
    assert merged_figures.merge_windows([stepped]).self_delay is None


def test_turns_that_found_nothing_are_busy_but_not_useful() -> None:
    merged = merged_figures.merge_windows(
        [window(1, cpu_ns=1_000_000_000, spun_ns=600_000_000), window(2, cpu_ns=300_000_000)]
    )
    assert merged.cpu_busy == pytest.approx(1.0)
    assert merged.useful_busy == pytest.approx(0.4)
    assert merged.useful_ns == pytest.approx(700_000_000)
    assert merged.spun_ns == 600_000_000


def test_an_engine_that_slept_through_the_window_has_no_rate_and_is_told() -> None:
    slept = window(end_ns=0, echoes=0, cpu_ns=7, spun_ns=7)
    merged = merged_figures.merge_windows([window(1, 2), slept])
    assert (merged.overslept, merged.echoes_per_s) == (1, 2)
    assert merged.cpu_busy == pytest.approx(0.4)
    assert merged_figures.merge_windows([window(1)]).overslept == 0

    nobody = merged_figures.merge_windows([slept])
    assert (nobody.window_ns, nobody.echoes_per_s, nobody.useful_busy) == (0, 0, 0)
    told = problems.overslept(nobody.overslept, CELL)
    assert told is not None
    assert told.code == "overslept"
    assert told.text.startswith("1 of the load's engines did not run in the whole window of ")


def test_what_others_took_of_an_engine_s_cpu_falls_on_all_its_turns_alike() -> None:
    """Empty turns last longer where the CPU was taken away in them: that is no CPU time."""
    merged = merged_figures.merge_windows([window(1, cpu_ns=500_000_000, spun_ns=600_000_000)])
    assert merged.useful_busy == pytest.approx(0.5 * 0.4)


def test_each_window_counts_by_its_own_length() -> None:
    merged = merged_figures.merge_windows([window(1, 2), window(3, 4, end_ns=2 * 10**9)])
    assert merged.echoes_per_s == pytest.approx(2 + 1)


def test_the_parts_of_a_window_are_the_rates_of_all_engines_in_each() -> None:
    slower = [[2 * 10**8, 1]] * 10
    merged = merged_figures.merge_windows([window(1), window(1, parts=slower)])
    assert merged.parts_per_s == pytest.approx([10.0 * number + 5.0 for number in range(10)])


def test_an_engine_that_stood_still_across_a_part_leaves_no_parts() -> None:
    merged = merged_figures.merge_windows([window(1), window(1, parts=[[10**8, 5]] * 9)])
    assert merged.parts_per_s is None


def test_the_ramp_of_two_engines_is_one_curve_from_the_first_connect() -> None:
    def ramp(first_ns: int, last_ns: int, timeline: list[list[float]]) -> Any:
        return {
            "first_connect_ns": first_ns,
            "last_established_ns": last_ns,
            "connect_histogram": encoded(50),
            "hello_histogram": encoded(70, 80),
            "timeline": timeline,
        }

    merged = merged_figures.merge_ramp(
        [
            ramp(5_000_000, 9_000_000, [[1.0, 1], [4.0, 2]]),
            ramp(7_000_000, 12_000_000, [[0.5, 1], [5.0, 3]]),
            ramp(0, 0, []),
        ]
    )
    assert merged.timeline == [[1.0, 1], [2.5, 2], [4.0, 3], [7.0, 5]]
    assert (merged.first_connect_ns, merged.last_established_ns) == (5_000_000, 12_000_000)
    assert cell_records.distribution(merged.hello)["count"] == 4  # type: ignore[index]


def test_a_long_curve_is_thinned_and_keeps_its_last_point() -> None:
    timeline = [[float(ms), ms + 1] for ms in range(1999)]
    ramp = {
        "first_connect_ns": 1,
        "last_established_ns": 2,
        "connect_histogram": encoded(),
        "hello_histogram": encoded(),
        "timeline": timeline,
    }
    merged = merged_figures.merge_ramp([ramp]).timeline
    assert len(merged) <= merged_figures.TIMELINE_POINTS_MAX
    assert merged[-1] == [1998.0, 1999]


def test_without_a_value_there_is_no_distribution() -> None:
    assert cell_records.distribution(histogram.merge([])) is None
    assert merged_figures.merge_ramp([]).first_connect_ns == 0


CELL = PlacedCell("idle", 100, 10, 64, 1, None, 0.1, 1.0, index=3)


def edge(stamp_ns: int, **changes: Any) -> Edge:
    values: dict[str, Any] = {
        "stamp_ns": stamp_ns,
        "server_cpu_ns": 0,
        "load_cpu_ns": 0,
        "user_ticks": 0,
        "system_ticks": 0,
        "threads": 1,
        "restarts": 0,
        "load_wait_ns": 0,
        "run_wait_ns": None,
        "cpu_ticks": {0: {"user": 0, "idle": 0}, 1: {"user": 0, "idle": 0}},
        "tcp": {"RetransSegs": 5},
        "pressure_us": 0,
        "realtime_offset_ns": 0,
    }
    return Edge(**(values | changes))


def readings(last: Edge) -> cell_records.Readings:
    first_tasks, last_tasks = TaskSample(0, 100, 10), TaskSample(2 * 10**9, 150, 11)
    return cell_records.Readings(edge(0), last, first_tasks, last_tasks, None, None)


def test_cpu_per_echo_compares_two_rates_over_intervals_of_their_own() -> None:
    # half a CPU for 1.25 s, at 100,000 echoes a second measured over another second: 5 us each
    last = edge(1_250_000_000, server_cpu_ns=625_000_000)
    server = cell_records.server_members(readings(last), [1], 100_000.0, None)
    assert server["cpu_us_per_echo"] == pytest.approx(5.0)
    assert (server["cpu_ns"], server["interval_ns"]) == (625_000_000, 1_250_000_000)
    assert server["switches"] == {"voluntary": 50, "involuntary": 1, "interval_s": 2.0}


def test_cpu_per_echo_is_of_what_the_kernel_charged_where_that_is_known() -> None:
    charged = {"cpu_ns": 6_000_000, "echoes": 1_000}
    server = cell_records.server_members(readings(edge(10**9, server_cpu_ns=5)), [1], 9.0, charged)
    assert server["cpu_us_per_echo"] == pytest.approx(6.0)
    assert server["charged"] == charged


def test_busy_is_what_the_servers_cpus_were_not_idle() -> None:
    ticks = {0: {"user": 50, "idle": 0}, 1: {"user": 30, "idle": 70}}
    server = cell_records.server_members(readings(edge(10**9, cpu_ticks=ticks)), [1], 1.0, None)
    assert server["cpu_busy"] == pytest.approx(0.3)
    assert server["stat_ticks"] == {"user": 30, "idle": 70}


def test_without_echoes_there_is_no_cpu_per_echo_and_without_ticks_no_share() -> None:
    server = cell_records.server_members(readings(edge(10**9, server_cpu_ns=5)), [1], 0.0, None)
    assert server["cpu_us_per_echo"] is None
    assert server["cpu_busy"] is None
    assert server["memory_bytes"] is None


def test_engines_that_share_a_cpu_are_busy_together() -> None:
    merged = merged_figures.merge_windows([window(1), window(2)])  # 0.4 of a CPU each
    shared = cell_records.generator_members(readings(edge(10**9)), [0], 2, merged, False)
    apart = cell_records.generator_members(readings(edge(10**9)), [0, 1], 2, merged, False)
    assert shared["cpu_busy"] == pytest.approx(0.8)
    assert apart["cpu_busy"] == pytest.approx(0.4)


def test_tcp_counters_that_stood_still_are_told_as_zero_and_those_shown_once_not_at_all() -> None:
    last = edge(1, tcp={"RetransSegs": 5, "ListenDrops": 2})
    assert cell_records.tcp_members(edge(0), last) == {"RetransSegs": 0}


def status(**changes: Any) -> Status:
    names = ("requested", "established", "connecting", "lost", "closed", "failed", "corrupt_bytes")
    more = ("outstanding", "echoes", "bytes_sent", "bytes_received", "cycles", "cycles_failed")
    values: dict[str, Any] = dict.fromkeys(names + more, 0)
    return Status(**(values | {"errors": {}, "ramps": ()} | changes))


def test_a_shortfall_is_one_sentence_with_its_numbers() -> None:
    now = status(
        established=8112,
        failed=1900,
        connecting=3,
        errors={"connect ECONNREFUSED": 1888, "hello eof": 12, "read ECONNRESET": 4},
    )
    before = status(failed=15, errors={"read ECONNRESET": 4})
    assert problems.shortfall(10_000, before, now, 10.0, None) == problems.failure(
        "held-fewer",
        "held 8,112 of 10,000: 1,885 failed, 3 without an answer within 10 s: "
        "connect ECONNREFUSED × 1,888, hello eof × 12",
    )


def test_a_ceiling_excuses_only_what_lies_above_it() -> None:
    ceiling = Ceiling(1019, "refuse", "FD_SETSIZE is 1024")
    now = status(established=900, failed=100)
    below = problems.shortfall(1000, status(), now, 10.0, ceiling)
    above = problems.shortfall(2000, status(), now, 10.0, ceiling)
    assert below is not None
    assert above is not None
    assert (below.code, above.code) == ("held-fewer", "capped")
    assert above.text.startswith("declared ceiling 1,019 (FD_SETSIZE is 1024); held 900 of")


def test_a_cell_cannot_start_on_what_the_one_before_left_behind() -> None:
    assert problems.obstacle(CELL, status(established=100)) is None
    late = problems.obstacle(CELL, status(established=100, outstanding=7))
    fewer = problems.obstacle(CELL, status(established=99))
    assert late is not None
    assert fewer is not None
    assert (late.code, fewer.code) == ("not-settled", "held-fewer")


def test_locusts_own_statistics_get_a_window_in_one_merge() -> None:
    stats = RequestStats()
    fold(stats, window(900, 1200, 90_000))
    fold(stats, window(1300))
    fold(stats, window())
    entry = stats.get(NAME, METHOD)
    assert (entry.num_requests, stats.total.num_requests) == (4, 4)
    assert entry.response_times == {1: 3, 90: 1}
    assert entry.total_content_length == 4 * 64
    assert entry.max_response_time == 90
