"""Void trials of a ranked cell: how many a campaign may have before its ranking is in doubt."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import synthetic

from harness.analysis import analyse

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


@pytest.mark.parametrize(
    ("cut", "lost", "is_void"), [(0, 0, False), (1, 0, False), (2, 0, True), (0, 1, True)]
)
def test_a_busy_host_may_void_a_quarter_of_a_ranked_cell(
    head: dict[str, Any], records: Lines, cut: int, lost: int, is_void: bool
) -> None:
    lines = copy.deepcopy(records) + in_block_4(records)
    polls = [
        line
        for line in lines
        if (line["variant"], line["scenario"], line["connections_requested"])
        == ("poll", "idle", 10_000)
    ]
    for line in polls[:cut]:
        line["latency_us"]["mean"] *= 1.5  # as where its turns are cut: Little's law does not hold
    for line in polls[:lost]:
        line["lost"] = 1
    longer = {**head, "plan": [*head["plan"], *in_block_4(head["plan"])]}

    analysis = analyse(longer, lines, synthetic.outcomes(longer))

    poll = next(
        one for one in analysis.cells if one.key == analysis.headline.key and one.variant == "poll"
    )
    assert poll.count("void") == cut + lost
    assert analysis.ranked_void is is_void
