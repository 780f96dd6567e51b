"""Void trials of a ranked cell: how many a campaign may have before its ranking is in doubt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import synthetic
from lines import analyse

from harness.contract.stored_cell import StoredCell
from harness.gates.attempts import is_void_by_host

Lines = list[dict[str, Any]]


def in_block_4(lines: Lines) -> Lines:
    """Those of block 3 once more, as block 4."""
    found = copy.deepcopy([line for line in lines if line["block"] == 3])
    for line in found:
        for key in ("trial", "id"):
            if key in line:
                line[key] = line[key].replace("3-", "4-")
        line["block"] = 4
    return found


def cut(line: dict[str, Any]) -> None:
    line["latency_us"]["mean"] *= 1.5  # as where its turns are cut: Little's law does not hold


def overslept(line: dict[str, Any]) -> None:
    line["failure"] = {"code": "overslept", "text": "the load did not run in a turn"}


def lost(line: dict[str, Any]) -> None:
    line["lost"] = 1


Change = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize(
    ("changes", "is_void"),
    [
        ((), False),
        ((cut,), False),
        ((overslept,), False),
        ((cut, overslept), True),
        ((lost,), True),
    ],
)
def test_a_busy_host_may_void_a_quarter_of_a_ranked_cell(
    head: dict[str, Any], records: Lines, changes: tuple[Change, ...], is_void: bool
) -> None:
    lines = copy.deepcopy(records) + in_block_4(records)
    polls = [
        line
        for line in lines
        if (line["variant"], line["scenario"], line["connections_requested"])
        == ("poll", "idle", 10_000)
    ]
    for line, change in zip(polls, changes, strict=False):
        change(line)
    longer = {**head, "plan": [*head["plan"], *in_block_4(head["plan"])]}

    analysis = analyse(longer, lines, synthetic.outcomes(longer))

    poll = next(
        one for one in analysis.cells if one.key == analysis.headline.key and one.variant == "poll"
    )
    assert poll.count("void") == len(changes)
    assert poll.void_by_itself == changes.count(lost)
    assert analysis.ranked_void is is_void


@pytest.mark.parametrize(("source", "by_host"), [("processes", True), ("cgroup v1", False)])
def test_time_outside_its_control_group_is_the_servers_own_doing(
    source: str, by_host: bool
) -> None:
    record = StoredCell.of({"server": {"charged": {"source": source}}})

    assert is_void_by_host(record, {"unaccounted", "steal"}) is by_host
