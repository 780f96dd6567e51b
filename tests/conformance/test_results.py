"""What the harness makes of a suite's results: pure functions of values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.backends.base import Prepared
from harness.campaign.conformance_run import Cache, Verdict
from harness.cli.commands.check import summary
from harness.conformance.suite_results import CheckResult, End, Score, conclude, score
from harness.contract import server_counters
from harness.contract.suite_events import Expected, TurnOver
from harness.contract.suite_spec import SpecError
from harness.contract.suite_spec import read as read_spec
from harness.host.bounded_output import Amount
from harness.variants.variant_files import read

ROOT = Path(__file__).parents[2]

COUNTERS = {"accepted": 11, "closed": 11, "bytes_in": 5000, "bytes_out": 5000}
LINE = json.dumps({"counters": {**COUNTERS, "waits": 7, "events": 9}})
# As SIGUSR1 is sent; in the answer a connection is not counted as closed yet
COUNTERS_EARLIER = {"accepted": 10, "closed": 10, "bytes_in": 4000, "bytes_out": 4000}
EARLIER = json.dumps({"counters": {**COUNTERS_EARLIER, "closed": 9, "waits": 5, "events": 6}})


def result(status: Any, identity: str = "T1") -> CheckResult:
    return CheckResult(identity, "a name", "data", status, "a text", "", 0.1)


def expect(what: Any, **members: Any) -> Expected:
    head = {"id": "T23", "name": "a name", "group": "lifecycle", "server": "other"}
    return Expected(**{**head, "explanation": "because", "what": what, **members})


def judged(event: Expected, ends: dict[str, End]) -> CheckResult:
    (found,) = conclude([event], ends)
    return found


def test_checks_that_do_not_apply_are_not_counted() -> None:
    statuses = ("pass", "pass", "fail", "skip")

    found = score(result(status) for status in statuses)

    assert found == Score(passed=2, applicable=3)
    assert not found.conforms
    assert score([result("pass"), result("skip")]).conforms


def test_several_runs_are_summed_up_by_server_with_what_failed_how_often() -> None:
    def run(name: str, *failed: str, end: tuple[str, str] | None = None) -> Verdict:
        found = (result("pass"), *(result("fail", identity) for identity in failed))
        return Verdict(name, "quick", found, end)

    runs = [run("b", "T7"), run("b"), run("b", "T2", "T7"), run("long"), run("long")]
    told = summary([*runs, run("c", end=("server-died", "killed"))])

    assert told.splitlines() == [
        "b     1 of 3 runs passed: T7 a name (2), T2 a name (1)",
        "long  2 of 2 runs passed",
        "c     0 of 1 runs passed: server-died (1)",
    ]


def test_what_the_suite_told_comes_first_and_unchanged() -> None:
    told = result("fail")

    found = conclude(
        [TurnOver(left=True), told.as_event(), expect("clean-exit")],
        {"other": End(0, "")},
    )

    assert found[0] == told
    assert [each.status for each in found] == ["fail", "pass"]


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        (End(1, "x: cannot listen\n"), "pass", "exit status 1, x: cannot listen"),
        (End(1, " \n"), "fail", "printed nothing"),
        (End(0, "fine"), "fail", "expected another exit code"),
        (End(None, ""), "fail", "did not exit within 5 s"),
        (None, "fail", "never started"),
    ],
)
def test_a_server_that_cannot_serve_has_to_say_so_and_exit(
    end: End | None, status: str, words: str
) -> None:
    event = expect("refusal", env={"LISTEN": "nowhere"})

    found = judged(event, {"other": end} if end else {})

    assert found.status == status
    assert found.text.startswith("started with LISTEN=nowhere: ")
    assert words in found.text
    assert found.explanation == ("because" if status == "fail" else "")


@pytest.mark.parametrize(
    ("end", "status"),
    [(End(0, LINE), "pass"), (End(1, "oops"), "fail"), (End(None, ""), "fail"), (None, "fail")],
)
def test_a_server_that_is_told_to_end_has_to_exit_with_0(end: End | None, status: str) -> None:
    assert judged(expect("clean-exit"), {"other": end} if end else {}).status == status


@pytest.mark.parametrize(
    ("log", "status", "words"),
    [
        (f"a warning\n{EARLIER}\n{LINE}\n", "pass", "bytes_in 5,000"),
        (
            f"{EARLIER}\n" + LINE.replace("5000", "4999", 1),
            "fail",
            "bytes_in: it counted 4999, its clients 5,000",
        ),
        (f"{EARLIER}\n" + LINE.replace("waits", "polls"), "fail", "waits: missing"),
        (LINE, "fail", "after one SIGUSR1, got 0"),
        (f"{EARLIER}\n{EARLIER}\n{LINE}", "fail", "after one SIGUSR1, got 2"),
        (
            f"{EARLIER.replace('4000', '3999', 1)}\n{LINE}",
            "fail",
            "bytes_in at SIGUSR1: it counted 3999, its clients 4,000",
        ),
        (LINE.replace("11", '"many"', 1), "fail", "no line of counters"),
        ("", "fail", "no line of counters"),
    ],
)
def test_counters_have_to_agree_with_the_clients(log: str, status: str, words: str) -> None:
    event = expect("counters", counters=COUNTERS, at_signal=COUNTERS_EARLIER)

    found = judged(event, {"other": End(0, log)})

    assert (found.status, words in found.text) == (status, True), found.text


def test_the_last_line_of_counters_counts() -> None:
    assert server_counters.last(f"{LINE}\n" + LINE.replace("11", "12")) == {
        **{name: 12 if value == 11 else value for name, value in COUNTERS.items()},
        "waits": 7,
        "events": 9,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "C10K_CONFORMANCE is not JSON"),
        ('{"schema": 1}', "C10K_CONFORMANCE.address is missing"),
    ],
)
def test_an_order_that_cannot_be_read_names_the_problem(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        read_spec(text)


def test_a_server_that_failed_one_of_its_runs_is_not_remembered_as_right(tmp_path: Path) -> None:
    variant = read(ROOT / "servers/poll")
    prepared = Prepared(variant, "../build/poll", variant.digest())
    cache = Cache(tmp_path, "process")
    right = Verdict("poll", "quick", (result("pass"),))
    wrong = Verdict("poll", "quick", (result("fail"),))

    cache.keep(prepared, [right])
    assert cache.find(prepared, "quick") == replace(right, cached=True)
    cache.keep(prepared, [right, wrong])
    assert cache.find(prepared, "quick") is None
    cache.keep(prepared, [right, wrong, right])
    assert cache.find(prepared, "quick") is None


@pytest.mark.parametrize(
    ("wrote", "status"),
    [
        (Amount(lines=50_000, size_bytes=2 << 20), "pass"),
        (Amount(lines=50_001, size_bytes=50_001), "fail"),
        (Amount(lines=0, size_bytes=(2 << 20) + 1), "fail"),
    ],
)
def test_a_server_that_fills_its_log_is_named(wrote: Amount, status: str) -> None:
    found = judged(expect("quiet"), {"other": End(0, "", wrote=wrote)})

    assert (found.status, f"{wrote.size_bytes:,} bytes" in found.text) == (status, True)
