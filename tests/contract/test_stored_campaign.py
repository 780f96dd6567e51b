"""A reader of stored files takes any value: a wrong one counts as not observed."""

from __future__ import annotations

from typing import Any

import pytest

from harness.contract.record import VariantFacts
from harness.contract.stored_campaign import StoredHead, StoredOutcome, StoredProfile
from harness.contract.stored_cell import StoredCell

WRONG: tuple[Any, ...] = (None, 7, "text", [], [1, "x"], {"x": {}}, True)


@pytest.mark.parametrize("model", [StoredHead, StoredOutcome, StoredCell])
@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_value_of_any_key_breaks_nothing(model: Any, value: object) -> None:
    assert isinstance(model.of(dict.fromkeys(model.model_fields, value)), model)


def test_what_a_wrong_value_leaves_is_what_a_missing_key_leaves() -> None:
    assert StoredCell.of({"block": "2", "attempt": None, "reasons": [["x"]]}) == StoredCell()
    assert StoredHead.of({"plan": [3], "selftest": {}, "others": [], "waves": {}}) == StoredHead()
    assert StoredOutcome.of({"repeats": None, "code": 5}) == StoredOutcome()


def test_a_head_has_its_blocks_its_facts_and_the_name_of_its_profile() -> None:
    limits = {"connections_max": 1_019, "reason": "FD_SETSIZE is 1024"}
    head = StoredHead.of(
        {
            "plan": [{"id": "0-x", "block": 0}, {"id": "2-x", "block": 2}],
            "variants": [{"name": "x", "limits": limits}, {"name": "y", "limits": None}],
        }
    )

    assert head.planned_blocks == {2}
    assert head.facts == {"x": VariantFacts(1_019, "FD_SETSIZE is 1024"), "y": VariantFacts()}
    assert StoredProfile.of({"name": "/home/me/mine.toml"}).title == "mine"
    assert StoredProfile.of({}).title == "unnamed"
