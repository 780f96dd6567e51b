"""What a server prints of its counters, and to which cell it belongs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.campaign.counter_lines import Ledger
from harness.contract import server_counters
from harness.contract.cell_record import CountersAsked


def line(waits: int, size: int = 0) -> str:
    figures = {"accepted": 3, "closed": 1, "bytes_in": size, "bytes_out": size}
    return json.dumps({"counters": {**figures, "waits": waits, "events": 2 * waits}})


@dataclass
class Log:
    """A server's log, of which one more part is there at each reading."""

    parts: list[str]
    read: list[str] = field(default_factory=list)

    def server_log(self) -> str:
        if self.parts:
            self.read.append(self.parts.pop(0))
        return "\n".join(self.read)


def of_window(ledger: Ledger, log: Log, lines: int, reason: str | None = None) -> dict[str, Any]:
    return ledger.of_window(log, CountersAsked(lines=lines, reason=reason))  # type: ignore[arg-type]


def test_a_cell_gets_the_difference_of_the_two_lines_that_were_asked_for() -> None:
    ledger, log = Ledger(), Log(["hello", line(1), line(4, 640), "a word", line(9, 640), line(9)])

    assert of_window(ledger, log, 2)["counters"] == {
        "waits": 3,
        "events": 6,
        "bytes_in": 640,
        "bytes_out": 640,
        "accepted": 0,
        "closed": 0,
    }
    second = of_window(ledger, log, 4)
    assert second["counters"]["bytes_in"] == -640  # raw: what it means is for others to say
    assert second["counters_reason"] is None


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, "SIGUSR1 was sent 2 times and answered 1 times"),
        ("no process of the server runs", "no process of the server runs"),
    ],
)
def test_a_line_that_never_comes_is_a_reason(reason: str | None, expected: str) -> None:
    found = of_window(Ledger(), Log([line(1)]), 2, reason)

    assert found == {"counters": None, "counters_reason": expected}


def test_a_server_that_was_not_asked_has_neither_counters_nor_a_reason() -> None:
    found = Ledger().of_window(Log([]), None)  # type: ignore[arg-type]

    assert found == {"counters": None, "counters_reason": None}


def test_a_log_keeps_the_last_lines_of_counters() -> None:
    log = "\n".join([line(1), "cannot accept", line(2), line(3)])

    assert server_counters.condensed(log) == log
    assert server_counters.condensed(log, keep=1) == f"cannot accept\n{line(3)}"
    assert server_counters.condensed("no counters") == "no counters"
    assert server_counters.last("no counters") is None


def test_what_is_no_line_of_counters_is_passed_over() -> None:
    values = ('"many"', "1e999", "1.5", "true", "-1", str(1 << 64), "9" * 30)
    wrong = [f'{{"counters": {{"waits": {value}}}}}' for value in values]
    log = "\n".join(['{"counters": 7}', *wrong, line(5)])

    assert [one["waits"] for one in server_counters.lines(log)] == [5]
