"""The lines of a campaign are what their models say, and docs/data.md is made from these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from harness.contract import data_docs
from harness.contract.campaign_lines import OutcomeRecord, XrayRecord
from harness.contract.cell_record import CellRecord, Written

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("short/trials.jsonl", CellRecord),
        ("short/outcomes.jsonl", OutcomeRecord),
        ("kept/xray.jsonl", XrayRecord),
    ],
)
def test_a_line_is_written_as_the_line_that_was_read(path: str, model: type[Written]) -> None:
    for line in (DATA / path).read_text().splitlines():
        known = model.model_validate(json.loads(line)).model_dump(by_alias=True)

        assert json.dumps(known, ensure_ascii=False) == line


def test_the_page_about_the_data_is_made_from_the_models() -> None:
    """Made by: python -m harness.contract > docs/data.md"""
    assert (ROOT / "docs/data.md").read_text() == data_docs.page()


def test_the_page_has_a_row_for_every_key_of_a_cell() -> None:
    page = data_docs.page()

    def named(model: type[BaseModel]) -> list[str]:
        return [field.alias or name for name, field in model.model_fields.items()]

    assert [name for name in named(CellRecord) if f"| `{name}` |" not in page] == []


def test_a_server_that_prints_no_text_of_utf_8_is_stored_all_the_same() -> None:
    line = (DATA / "short/outcomes.jsonl").read_text().splitlines()[0]
    hostile = {"log_tail": "\udcff", "counters": {"\ud800": 1}}

    known = OutcomeRecord.model_validate(json.loads(line) | hostile)

    assert (known.log_tail, known.counters) == ("?", {"?": 1})
