"""What is made up has the keys of what is measured."""

from __future__ import annotations

from typing import Any

import pytest
from lines import require_known
from synthetic import outcomes

from harness.contract.campaign_lines import OutcomeRecord
from harness.contract.cell_record import CellRecord


def test_the_ends_of_made_up_trials_have_the_keys_of_real_ones(head: dict[str, Any]) -> None:
    for line in outcomes(head):
        require_known(line, OutcomeRecord)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"echoez": 1}, "echoez is no key of CellRecord"),
        ({"server": {"charged": {"cpu": 1}}}, "server.charged.cpu is no key of Charged"),
    ],
)
def test_a_made_up_key_that_no_campaign_writes_is_named(line: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        require_known(line, CellRecord)
