"""What a load tells is read as it was written, and what is no event of a load is named."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from harness.contract import load_events
from harness.contract.events import Events
from harness.contract.load_events import EventError, Hello, TrialFailure

HELLO = Hello(
    pid=7,
    limits=load_events.GrantedFiles(nofile=(1024, 4096)),
    sysctls={"net.core.somaxconn": None},
    cpus=(0, 1),
    versions={"python": "3.12"},
)


def written(event: Any) -> dict[str, Any]:
    """The event as it comes out of the other end of a pipe."""
    read_end, write_end = os.pipe()
    Events(write_end).tell(event)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        line: dict[str, Any] = json.loads(pipe.read())
    return line


@pytest.mark.parametrize(
    "event", [HELLO, load_events.SpentAsked(), load_events.Done(totals=None)], ids=repr
)
def test_an_event_is_read_as_it_was_written(event: load_events.LoadEvent) -> None:
    assert load_events.parse(written(event)) == event


def test_a_text_that_is_no_utf_8_is_told_all_the_same() -> None:
    told = TrialFailure(code="load-error", text=os.fsdecode(b"a\xff"))

    assert load_events.parse(written(told)) == told
    assert told.text == "a?"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"event": "helo"}, "helo"),
        ({}, "event of the load"),
        ({"event": "turn"}, "an event of the load.turn.cell is missing"),
        ({"event": "turn", "cell": "1"}, 'turn.cell: input should be a valid integer, not "1"'),
        ({"event": "turn", "cell": 1, "sell": 2}, "turn.sell is not a known key"),
    ],
)
def test_what_is_no_event_is_named_with_its_key(line: dict[str, Any], words: str) -> None:
    with pytest.raises(EventError) as raised:
        load_events.parse(line)

    assert words in str(raised.value)
