"""The judgement of the self-test: made-up figures in, rows out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.contract.stored_campaign import Part, StoredBacklog, StoredSelftest
from harness.gates import generator_fitness
from harness.gates.generator_fitness import PARTS

KNOWN_MS = {"p50": 63.1, "p90": 158.0, "p99": 195.0, "mean": 78.0}
GOOD: dict[str, dict[str, Any]] = {
    "overhead": {"clock_read_ns": 22.0, "lag_p50_us": 33.0, "lag_p99_us": 80.0},
    "ceiling": {
        "active": 100,
        "echoes_per_s": 90_000.0,
        "cpu_us_per_echo": 5.1,
        "outstanding": 99.9,
        "rate_times_latency": 99.8,
        "edge_share": 0.001,
    },
    "corrupt": {"flipped_bytes": 49, "corrupt_bytes": 49, "lost": 49, "echoed_bytes": 49_057_280},
    "drop": {"dropped": 10, "failed": 10, "cycles": 10_738, "errors": {"eof": 10}},
    "late": {
        "delay_ms": 50.0,
        "delayed_share": 0.01,
        "late_share": 0.01,
        "p98_ms": 0.3,
        "count": 5000,
    },
    "distribution": {
        "known_ms": KNOWN_MS,
        "observed_ms": dict(KNOWN_MS),
        "count": 8000,
        "send_lag_p99_us": 60.0,
    },
    "stall": {
        "window_s": 5.0,
        "stall_s": 0.5,
        "p50_ms": 0.1,
        "p99_s": 0.45,
        "max_s": 0.5,
        "count": 10_000,
    },
}


def kept(figures: dict[str, Any]) -> StoredSelftest:
    """What a campaign reads of the self-test with these figures."""
    return StoredSelftest.of(generator_fitness.judge(figures, {}, 20.0).as_json())


def failed(figures: dict[str, Any], failures: dict[str, str] | None = None) -> list[str]:
    judged = generator_fitness.judge(figures, failures or {}, 20.0)
    return [row.id for row in judged.rows if row.verdict == "fail"]


def changed(scene: str, key: str, value: Any) -> dict[str, Any]:
    figures = copy.deepcopy(GOOD)
    figures[scene][key] = value
    return figures


def test_good_figures_pass_every_check() -> None:
    judged = generator_fitness.judge(GOOD, {}, 20.0)

    assert judged.passed
    assert [row.verdict for row in judged.rows] == ["pass"] * len(generator_fitness.CHECKS)
    assert [generator_fitness.why_not(kept(GOOD), part) for part in PARTS] == ["", ""]


@pytest.mark.parametrize(
    ("check", "scene", "key", "bad", "good"),
    [
        ("little", "ceiling", "outstanding", 97.9, 98.1),
        ("little", "ceiling", "rate_times_latency", 102.2, 102.0),
        ("stall", "stall", "p99_s", 0.435, 0.44),
        ("stall", "stall", "max_s", 0.52, 0.51),
        # What a generator shows that waits for the reply before it sends: nothing of the stall.
        ("stall", "stall", "p99_s", 0.0002, 0.45),
        ("corrupt", "corrupt", "corrupt_bytes", 48, 49),
        ("corrupt", "corrupt", "lost", 48, 49),
        ("drop", "drop", "failed", 9, 10),
        ("drop", "drop", "errors", {"eof": 9, "read ECONNRESET": 1}, {"eof": 10}),
        ("late", "late", "late_share", 0.0112, 0.0109),
        ("late", "late", "p98_ms", 26.0, 24.0),
        ("distribution", "distribution", "observed_ms", {**KNOWN_MS, "p99": 197.1}, KNOWN_MS),
        ("distribution", "distribution", "observed_ms", {**KNOWN_MS, "mean": 77.1}, KNOWN_MS),
        ("ceiling", "ceiling", "echoes_per_s", 9_999.0, 10_000.0),
        ("clock", "overhead", "clock_read_ns", 251.0, 250.0),
        ("wake-up", "overhead", "lag_p50_us", 101.0, 100.0),
    ],
)
def test_a_check_fails_beyond_its_bound_and_not_inside_it(
    check: str, scene: str, key: str, bad: Any, good: Any
) -> None:
    assert failed(changed(scene, key, bad)) == [check]
    assert failed(changed(scene, key, good)) == []


@pytest.mark.parametrize(
    ("check", "scene", "nothing"),
    [
        ("corrupt", "corrupt", {"flipped_bytes": 0, "corrupt_bytes": 0, "lost": 0}),
        ("drop", "drop", {"dropped": 0, "failed": 0, "errors": {}}),
    ],
)
def test_where_nothing_went_wrong_nothing_was_proved(
    check: str, scene: str, nothing: dict[str, Any]
) -> None:
    figures = copy.deepcopy(GOOD)
    figures[scene] |= nothing

    assert failed(figures) == [check]


def test_a_scene_without_figures_fails_its_checks_with_its_reason() -> None:
    figures = {name: GOOD[name] for name in GOOD if name != "ceiling"}
    judged = generator_fitness.judge(figures, {"ceiling": "no socket was to be had"}, 3.0)

    told = {row.id: row.observed for row in judged.rows if row.verdict == "fail"}
    assert told == dict.fromkeys(["little", "ceiling"], "no socket was to be had")
    assert failed({}) == [check.id for check in generator_fitness.CHECKS]


def test_every_check_has_a_scene_of_its_figures() -> None:
    assert {check.scene for check in generator_fitness.CHECKS} == set(GOOD)


def test_what_failed_is_the_reason_for_the_part_that_it_proves() -> None:
    figures = changed("stall", "p99_s", 0.25)
    figures["late"]["late_share"] = 0.5
    figures["drop"]["failed"] = 3

    latency = generator_fitness.why_not(kept(figures), "latency")
    assert "stands still for 0.25 s" in latency
    assert "p99 0.250 s" in latency
    assert "and 1 more" in latency
    ranking = generator_fitness.why_not(kept(figures), "ranking")
    assert "dropped connection" in ranking
    assert "more" not in ranking


@pytest.mark.parametrize(
    ("scene", "key", "bad", "part"),
    [
        ("ceiling", "outstanding", 90.0, "ranking"),
        ("ceiling", "echoes_per_s", 9_000.0, "ranking"),
        ("corrupt", "corrupt_bytes", 48, "ranking"),
        ("drop", "failed", 9, "ranking"),
        ("stall", "max_s", 0.6, "latency"),
        ("late", "late_share", 0.02, "latency"),
        ("distribution", "observed_ms", {**KNOWN_MS, "p99": 210.0}, "latency"),
        ("overhead", "clock_read_ns", 900.0, "latency"),
        ("overhead", "lag_p50_us", 900.0, "latency"),
    ],
)
def test_a_failed_check_takes_away_the_part_that_it_proves_and_not_the_other(
    scene: str, key: str, bad: Any, part: Part
) -> None:
    found = kept(changed(scene, key, bad))

    assert [one for one in PARTS if generator_fitness.why_not(found, one)] == [part]


def test_an_attempt_without_an_end_proves_nothing_and_none_at_all_takes_nothing_away() -> None:
    for part in PARTS:
        assert generator_fitness.why_not(None, part) == ""
        assert generator_fitness.why_not(StoredSelftest(), part) != ""


def test_what_failed_before_there_were_parts_takes_away_the_ranking_alone() -> None:
    told: Any = generator_fitness.judge(changed("stall", "p99_s", 0.25), {}, 20.0).as_json()
    for row in told["checks"]:
        del row["proves"]

    assert generator_fitness.why_not(StoredSelftest.of(told), "ranking") != ""
    assert generator_fitness.why_not(StoredSelftest.of(told), "latency") == ""


def test_the_listener_is_that_of_the_last_attempt_that_looked() -> None:
    first = {"passed": False, "figures": {"backlog": {"admitted": 17}}}
    last = {"passed": True, "figures": {}}
    again = StoredSelftest.of(last | {"earlier": [first, last]})

    assert generator_fitness.backlog(None) is None
    assert generator_fitness.backlog(StoredSelftest.of(last)) is None
    assert generator_fitness.backlog(again) == StoredBacklog(admitted=17)


def test_what_a_campaign_keeps_are_its_attempts_in_their_order() -> None:
    failed, passed = {"passed": False, "checks": []}, {"passed": True, "checks": []}
    all_three = StoredSelftest.of(passed | {"earlier": [failed, failed]})

    assert generator_fitness.attempts(None) == []
    assert [one.passed for one in generator_fitness.attempts(all_three)] == [False, False, True]
