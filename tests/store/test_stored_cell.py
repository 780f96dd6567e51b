"""A stored line is read whatever is missing in it, or wrong."""

from __future__ import annotations

from typing import Any

import pytest

from harness.contract.cell_record import CellRecord
from harness.contract.stored_cell import Stored, StoredCell


def test_of_an_empty_line_nothing_was_observed() -> None:
    cell = StoredCell.of({})

    assert (cell.echoes, cell.server.charged.cpu_ns, cell.tcp, cell.failure_code) == (
        None,
        None,
        {},
        None,
    )
    assert cell.is_finished


@pytest.mark.parametrize("wrong", [None, True, "7", [], {}, [[]], {"cpu_ns": "1"}])
def test_what_is_not_as_it_should_be_was_not_observed(wrong: Any) -> None:
    cell = StoredCell.of(dict.fromkeys(StoredCell.model_fields, wrong))

    assert cell.echoes is None
    assert cell.server.cpu_ns is None
    assert cell.tcp == {}
    assert cell.latency_us.p99 is None


def keys(model: Any) -> dict[str, Any]:
    """{key: what it holds} of a model and of the models in it."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = (field.annotation, *getattr(field.annotation, "__args__", ()))
        models = [one for one in inner if hasattr(one, "model_fields")]
        found[name] = keys(models[0]) if models else None
    return found


def test_every_key_that_is_read_is_one_that_is_written() -> None:
    def unknown(read: dict[str, Any], written: dict[str, Any], path: str = "") -> list[str]:
        missing = [path + name for name in read if name not in written]
        for name in read.keys() & written.keys():
            missing += unknown(read[name] or {}, written[name] or {}, f"{path}{name}.")
        return missing

    assert issubclass(StoredCell, Stored)
    assert unknown(keys(StoredCell), keys(CellRecord)) == []
    # That the search finds what there is
    assert "charged" in keys(StoredCell)["server"]
    assert unknown({"a": {"b": None}}, {"a": {"c": None}}) == ["a.b"]
