"""Every gate trips on what it is there for, and on nothing just inside its bound."""

from __future__ import annotations

import copy
import random
import statistics
from typing import Any

import pytest
import synthetic
from lines import judge
from scipy import stats

from harness.contract.record import VariantFacts
from harness.contract.stored_campaign import StoredVariant
from harness.contract.stored_cell import StoredCell
from harness.gates import GATES, cell_checks

WORKERS = ("generator", "workers")
PLAIN = VariantFacts()
FDSET = VariantFacts(synthetic.FDSET_HELD, "FD_SETSIZE is 1024")


def measured(scenario: str = "idle", variant: str = "epoll-lt") -> dict[str, Any]:
    """A good record of the synthetic campaign, at 1,000 connections."""
    lines = synthetic.records(synthetic.campaign(trials=1, connections=(1_000,)))
    return next(x for x in lines if (x["scenario"], x["variant"]) == (scenario, variant))


def paced() -> dict[str, Any]:
    """A good open-loop record."""
    record = changed(measured(), ("generator", "cpu_busy"), 0.5) | {"echoes": 30_000}
    record = changed(record, ("generator", "send_lag_us"), {"p99": 20.0, "count": 30_000})
    return changed(record, ("rate_offered_per_s",), 20_000.0)


def changed(record: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of `record` with one value replaced."""
    copied = copy.deepcopy(record)
    inner = copied
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copied


@pytest.mark.parametrize("scenario", ["ramp", "idle", "active"])
def test_a_good_cell_is_valid_without_reasons(scenario: str) -> None:
    verdict = judge(measured(scenario), PLAIN)

    assert (verdict.status, verdict.reasons) == ("valid", ())


def test_a_good_open_loop_cell_is_valid() -> None:
    assert judge(paced(), PLAIN).status == "valid"


# (gate, status, what to change, tripping value, value just inside the bound)
CASES: list[tuple[str, str, tuple[str, ...], Any, Any]] = [
    ("failure", "void", ("failure",), {"code": "server-died", "text": "it died"}, None),
    ("evidence", "void", ("server", "cpu_busy"), None, 0.5),
    ("evidence", "void", ("lost",), None, 0),
    ("established", "void", ("connections_established_min",), 999, 1_000),
    ("corrupt", "void", ("corrupt_bytes",), 1, 0),
    ("lost", "void", ("lost",), 1, 0),
    ("silent", "void", ("echoes",), 0, 1),
    ("cpu-time", "void", ("server", "cpu_ns"), 99_999_999, 100_000_000),
    ("little", "void", ("generator", "little_outstanding"), 97.9, 98.1),
    ("counters", "noisy", ("tcp", "ListenOverflows"), None, 0),
    ("counters", "noisy", ("server", "stat_ticks", "steal"), None, 0),
    (
        "counters",
        "noisy",
        ("server", "stat_ticks"),
        {"idle": 0, "steal": 0},
        {"idle": 1, "steal": 0},
    ),
    ("retransmits", "noisy", ("tcp", "RetransSegs"), 1, 0),
    ("overflows", "noisy", ("tcp", "ListenOverflows"), 1, 0),
    ("softnet", "noisy", ("tcp", "softnet_dropped"), 1, 0),
    ("throttled", "noisy", ("host", "nr_throttled"), 1, 0),
    ("restarted", "void", ("server", "restarts"), 1, 0),
    ("clock-set", "noisy", ("host", "clock_step_ns"), -1_000_001, 1_000_000),
]


@pytest.mark.parametrize(("code", "status", "path", "bad", "good"), CASES)
def test_a_gate_trips_on_its_cause_and_not_just_inside_its_bound(
    code: str, status: str, path: tuple[str, ...], bad: Any, good: Any
) -> None:
    tripped = judge(changed(measured(), path, bad), PLAIN)
    passed = judge(changed(measured(), path, good), PLAIN)

    assert tripped.status == status
    assert code in dict(tripped.reasons)
    assert code not in dict(passed.reasons)


def churning() -> dict[str, Any]:
    """A good record of churn: 100 of 1,000 connections come and go."""
    record = changed(measured(), ("closing",), "fin")
    record["churn"] = {"cycles": 1, "cycles_per_s": 1.0, "failed": 0, "connect_us": None}
    return changed(record, ("connections_established_min",), 900)


CHURN_CASES: list[tuple[str, str, tuple[str, ...], Any, Any]] = [
    ("cycles", "void", ("churn", "failed"), 1, 0),
    ("cycles", "void", ("churn", "failed"), None, 0),
    ("established", "void", ("connections_established_min",), 899, 900),
    # Between two cycles fewer are under way; what is timed has to be what was under way.
    ("little", "void", ("generator", "little_outstanding"), 80.0, 99.0),
]


@pytest.mark.parametrize(("code", "status", "path", "bad", "good"), CHURN_CASES)
def test_a_gate_of_churn_trips_on_its_cause_and_not_just_inside_its_bound(
    code: str, status: str, path: tuple[str, ...], bad: Any, good: Any
) -> None:
    tripped = judge(changed(churning(), path, bad), PLAIN)

    assert (tripped.status, [reason[0] for reason in tripped.reasons]) == (status, [code])
    assert judge(changed(churning(), path, good), PLAIN).status == "valid"


OPEN_LOOP_CASES: list[tuple[str, str, tuple[str, ...], Any, Any]] = [
    ("not-reachable", "void", ("generator", "cpu_busy"), 0.81, 0.80),
    ("not-reachable", "void", ("generator", "send_lag_us", "p99"), 5_000.0, 100.0),
    # 30,000 sends were due in the window
    ("not-reachable", "void", ("generator", "missed_sends"), 301, 300),
    ("missed-sends", "noisy", ("generator", "missed_sends"), 31, 30),
    # 30,000 replies came in it
    ("not-served", "void", ("generator", "send_lag_us", "count"), 30_304, 30_303),
    ("late-replies", "noisy", ("generator", "send_lag_us", "count"), 30_031, 30_030),
    ("clock-step", "void", ("host", "clock_step_ns"), 1_000_001, -1_000_000),
    ("evidence", "void", ("generator", "send_lag_us", "p99"), None, 1.0),
    ("evidence", "void", ("generator", "send_lag_us", "count"), None, 30_000),
]


@pytest.mark.parametrize(("code", "status", "path", "bad", "good"), OPEN_LOOP_CASES)
def test_the_gates_of_the_open_loop_are_asked_only_there(
    code: str, status: str, path: tuple[str, ...], bad: Any, good: Any
) -> None:
    tripped = judge(changed(paced(), path, bad), PLAIN)
    passed = judge(changed(paced(), path, good), PLAIN)
    closed = judge(changed(measured(), path, bad), PLAIN)

    assert tripped.status == status
    assert code in dict(tripped.reasons)
    assert code not in dict(passed.reasons)
    assert code not in dict(closed.reasons)


def test_one_send_at_the_edge_of_a_window_is_no_noise_however_few_were_due() -> None:
    slow = changed(paced(), ("rate_offered_per_s",), 100.0)

    assert judge(changed(slow, ("generator", "missed_sends"), 1), PLAIN).status == "valid"
    assert judge(changed(slow, ("generator", "missed_sends"), 2), PLAIN).status == "void"


def test_one_reply_beyond_the_edge_of_a_window_is_no_noise_however_few_there_were() -> None:
    sent = ("generator", "send_lag_us", "count")
    slow = changed(paced() | {"echoes": 50}, sent, 51)

    assert judge(slow, PLAIN).status == "valid"
    assert judge(changed(slow, sent, 52), PLAIN).status == "void"


def test_a_rate_that_cannot_be_offered_is_called_not_reachable_with_all_its_causes() -> None:
    record = changed(paced(), ("generator", "cpu_busy"), 0.97)
    record = changed(record, ("generator", "missed_sends"), 900)

    ((code, text),) = [one for one in judge(record, PLAIN).reasons if one[0] == "not-reachable"]

    assert code == "not-reachable"
    assert text == (
        "20,000 messages/s are not reachable on this host: the generator was 97% busy; "
        "3.0% of the sends were missed"
    )


def test_a_paced_load_is_judged_by_its_useful_work_where_that_is_known() -> None:
    """It polls between messages, which it would not do at a higher rate."""
    awake = changed(paced(), ("generator", "cpu_busy"), 0.99)

    assert judge(awake, PLAIN).status == "void"
    assert judge(changed(awake, ("generator", "useful_busy"), 0.80), PLAIN).status == "valid"
    assert judge(changed(awake, ("generator", "useful_busy"), 0.81), PLAIN).status == "void"


def test_a_load_that_waits_for_its_cpu_is_noise() -> None:
    waits = changed(measured(), ("generator", "interval_ns"), 1_500_000_000)

    assert judge(changed(waits, ("generator", "run_wait_ns"), 150_000_000), PLAIN).status == "valid"
    noisy = judge(changed(waits, ("generator", "run_wait_ns"), 150_000_001), PLAIN)
    assert [code for code, _ in noisy.reasons] == ["load-waited"]
    two = changed(changed(waits, ("generator", "run_wait_ns"), 300_000_000), WORKERS, 2)
    assert judge(two, PLAIN).status == "valid"
    assert judge(changed(two, ("generator", "run_wait_ns"), 300_000_001), PLAIN).status == "noisy"


@pytest.mark.parametrize(
    ("cpus", "run_ms", "status"),
    [(1, 750, "valid"), (1, 700, "noisy"), (2, 1_500, "valid"), (2, 1_400, "noisy")],
)
def test_a_server_cpu_that_others_use_is_noise(cpus: int, run_ms: int, status: str) -> None:
    """60 % of 1.5 s busy: 10 % may be others, and a tick of 150 at each edge."""
    record = changed(measured(), ("server", "cpu_ns"), run_ms * 1_000_000)
    ticks = {"user": 60 * cpus, "system": 32 * cpus, "idle": 58 * cpus, "steal": 0}
    record = changed(record, ("server", "stat_ticks"), ticks | {"softirq": 0})

    assert judge(record, PLAIN).status == status


@pytest.mark.parametrize(("steal", "status"), [(3, "valid"), (4, "noisy")])
@pytest.mark.parametrize("side", ["server", "generator"])
def test_steal_above_two_per_cent_of_either_side_is_noise(
    side: str, steal: int, status: str
) -> None:
    ticks = {"user": 60, "system": 60, "idle": 30 - steal, "steal": steal}

    assert judge(changed(measured(), (side, "stat_ticks"), ticks), PLAIN).status == status


WIGGLE = [3.0, -2.0, 1.0, -3.0, 2.0, -1.0, 2.0, -3.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("rates", "status"),
    [
        # 10.05 % and 9.9 % from the start to the end of ten parts, about a mean of 1,000
        ([1_000 + 10.1 * (part - 4.5) for part in range(10)], "noisy"),
        ([1_000 - 10.1 * (part - 4.5) for part in range(10)], "noisy"),
        ([1_000 + 9.9 * (part - 4.5) for part in range(10)], "valid"),
        # The same slope under ordinary noise, and drowned in a rate that jumps by half
        ([1_000 + 12.0 * part + 3 * WIGGLE[part] for part in range(10)], "noisy"),
        ([1_000 + 12.0 * part + 150 * WIGGLE[part] for part in range(10)], "valid"),
        # A server that stops half-way, one that never answers, and an engine that stood still
        ([1_000.0] * 5 + [0.0] * 5, "noisy"),
        ([0.0] * 10, "valid"),
        (None, "valid"),
    ],
)
def test_a_rate_that_drifts_across_the_window_is_noise(
    rates: list[float] | None, status: str
) -> None:
    verdict = judge(changed(measured(), ("parts_per_s",), rates), PLAIN)

    assert verdict.status == status
    assert [code for code, _ in verdict.reasons] == ["drift"] * (status == "noisy")


def test_whether_a_slope_is_chance_is_said_as_scipy_says_it() -> None:
    generator = random.Random(1)  # noqa: S311 (figures to reproduce, not a secret)
    seen = set()
    for _ in range(500):
        slope, spread = generator.uniform(-40, 40), generator.uniform(10, 150)
        rates = [1_000 + slope * part + generator.gauss(0, spread) for part in range(10)]
        line = stats.linregress(range(10), rates)
        change = line.slope * len(rates) / statistics.fmean(rates)
        is_large = abs(change) > cell_checks.DRIFT_SHARE_MAX
        is_sure = bool(line.pvalue <= cell_checks.DRIFT_P_MAX)
        cell = StoredCell.of({"parts_per_s": rates})
        assert (cell_checks.drift(cell, PLAIN) is not None) == (is_large and is_sure)
        seen.add((is_large, is_sure))
    assert seen >= {(True, True), (True, False)}


def test_a_mean_rate_less_sure_than_what_the_report_calls_a_difference_is_noise() -> None:
    exact = stats.t.ppf(0.975, cell_checks.UNEVEN_PARTS - 1)
    assert abs(cell_checks.UNEVEN_T - exact) < 5e-4

    def reasons(share: float, window_s: float = 1.999) -> list[tuple[str, str]]:
        """Of a window whose tenths lie by a share above and below the mean, in turns."""
        rates = [1_000 * (1 + share * (-1) ** part) for part in range(10)]
        record = changed(measured(), ("parts_per_s",), rates)
        return list(judge(changed(record, ("window_s",), window_s), PLAIN).reasons)

    # s = share · sqrt(10 / 9), and 2.262 · s / sqrt(10) = 5 % at a share of 6.63 %
    assert reasons(0.066) == []
    assert reasons(0.067) == [
        ("uneven", "the rate jumps: half of the 95 % interval of its mean is 5.1%")
    ]
    assert reasons(0.5, window_s=1.9) == []


def test_tenths_that_are_not_known_are_no_sign_of_an_even_rate() -> None:
    long = changed(changed(measured(), ("window_s",), 2.5), ("parts_per_s",), None)

    assert [code for code, _ in judge(long, PLAIN).reasons] == ["uneven"]
    assert judge(changed(long, ("window_s",), 1.5), PLAIN).status == "valid"


@pytest.mark.parametrize("off", [0.975, 1.025])
def test_a_rate_that_contradicts_the_latency_is_void(off: float) -> None:
    record = measured()
    wrong = changed(record, ("echoes_per_s",), record["echoes_per_s"] * off)
    right = changed(record, ("echoes_per_s",), record["echoes_per_s"] * (1 + (off - 1) / 2))

    assert "little" in dict(judge(wrong, PLAIN).reasons)
    assert "little" not in dict(judge(right, PLAIN).reasons)


def test_a_window_of_few_round_trips_is_allowed_its_two_edges() -> None:
    """1,000 active, 15 ms round trip: a 0.1 s window cuts 15 % of the echoes it counts."""
    record = measured("active")
    mean_us = record["latency_us"]["mean"]
    rate = 0.9 * 1_000 / (mean_us / 1e6)
    short = changed(changed(record, ("window_s",), mean_us / 1e6 * 5), ("echoes_per_s",), rate)
    long = changed(short, ("window_s",), mean_us / 1e6 * 500)

    assert "little" not in dict(judge(short, PLAIN).reasons)
    assert "little" in dict(judge(long, PLAIN).reasons)


def test_each_turn_of_a_window_is_allowed_two_edges_of_its_own() -> None:
    record = measured("active")
    trip_s = record["latency_us"]["mean"] / 1e6
    # 500 round trips cut at two edges: 0.2 %; at those of 20 turns: 4 %
    record = changed(record, ("window_s",), 500 * trip_s)
    record = changed(record, ("echoes_per_s",), 0.95 * 1_000 / trip_s)

    assert "little" in dict(judge(record, PLAIN).reasons)
    assert "little" not in dict(judge(record | {"turns": 20}, PLAIN).reasons)
    assert "little" in dict(judge(record | {"turns": 10}, PLAIN).reasons)
    # Turns of a few round trips are not excused by their edges
    assert "turns cut 6%" in dict(judge(record | {"turns": 30}, PLAIN).reasons)["little"]


def test_each_turn_is_allowed_two_ticks_of_others_on_the_servers_cpu() -> None:
    """A tick of 10 ms is counted as a whole at each edge: of 20 turns in 2 s, 20 % of the time."""
    record = measured()
    ticks = dict.fromkeys(record["server"]["stat_ticks"], 0) | {"system": 170, "idle": 30}
    record = changed(record, ("server", "stat_ticks"), ticks)
    record = changed(record, ("server", "interval_ns"), 2 * 10**9)
    record = changed(record, ("server", "cpu_ns"), int(1.2e9))  # the others: 25 %

    assert "shared-cpu" in dict(judge(record, PLAIN).reasons)
    assert "shared-cpu" not in dict(judge(record | {"turns": 20}, PLAIN).reasons)


def test_syn_retransmits_and_overflows_are_the_result_of_a_ramp_not_its_noise() -> None:
    storm = {"RetransSegs": 7, "TCPSynRetrans": 7, "ListenOverflows": 9, "softnet_dropped": 0}
    data_too = storm | {"RetransSegs": 8}

    assert judge(changed(measured("ramp"), ("tcp",), storm), PLAIN).status == "valid"
    assert judge(changed(measured("ramp"), ("tcp",), data_too), PLAIN).status == "noisy"
    assert judge(changed(measured("idle"), ("tcp",), storm), PLAIN).status == "noisy"


def capped(held: int, code: str = "capped") -> dict[str, Any]:
    record = measured("ramp", "select-fdset")
    record |= {"connections_requested": 10_000, "connections_established_min": held}
    record["ramp"] = record["ramp"] | {"established": held}
    return record | {"failure": {"code": code, "text": "no more"}}


def test_a_declared_ceiling_that_was_reached_is_a_result_with_its_reason() -> None:
    verdict = judge(capped(1_019), FDSET)

    assert verdict.status == "capped"
    assert verdict.reasons == (("capped", "holds 1,019 of 10,000 (FD_SETSIZE is 1024)"),)


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        (capped(500), FDSET),
        (capped(1_019), PLAIN),
        (capped(1_019, "server-died"), FDSET),
        (capped(1_019) | {"corrupt_bytes": 3}, FDSET),
    ],
    ids=["far below it", "not declared", "crashed on the way", "wrong bytes"],
)
def test_a_ceiling_excuses_nothing_but_itself(record: dict[str, Any], facts: VariantFacts) -> None:
    assert judge(record, facts).status == "void"


def test_void_outranks_noisy_and_both_reasons_are_kept() -> None:
    record = changed(changed(measured(), ("lost",), 2), ("tcp", "RetransSegs"), 5)
    verdict = judge(record, PLAIN)

    assert verdict.status == "void"
    assert {"lost", "retransmits"} <= set(dict(verdict.reasons))


def test_every_gate_is_tripped_by_a_case_above() -> None:
    tripped = {case[0] for case in CASES + CHURN_CASES + OPEN_LOOP_CASES}
    tripped |= {"load-waited", "shared-cpu", "drift", "uneven", "outside-cpus", "unaccounted"}
    tripped |= {"steal", "little", "capped", "disturbed"}  # the last: tests/gates/test_faults.py

    assert {gate.code for gate in GATES} == tripped


def test_the_facts_of_a_variant_are_its_declared_limits() -> None:
    entries = [{"name": "x", "limits": limits} for limits in (synthetic.FDSET, None)]
    assert [StoredVariant.of(entry).facts for entry in entries] == [FDSET, PLAIN]
    assert judge({}, PLAIN).status == "void"  # an empty record breaks nothing
