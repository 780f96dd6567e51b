"""Read made-up lines and heads of a campaign, and hand them to gates and analysis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel

from harness import analysis, gates
from harness.analysis import Analysis, expected_shapes
from harness.analysis.expected_shapes import Row
from harness.contract.record import VariantFacts
from harness.contract.stored_campaign import StoredHead, StoredOutcome
from harness.contract.stored_cell import StoredCell
from harness.gates import Verdict


def cells(lines: Iterable[dict[str, Any]]) -> list[StoredCell]:
    """Lines of `trials.jsonl` as the harness reads them."""
    return [StoredCell.of(line) for line in lines]


def outcomes(lines: Iterable[dict[str, Any]]) -> list[StoredOutcome]:
    """Lines of `outcomes.jsonl` as the harness reads them."""
    return [StoredOutcome.of(line) for line in lines]


def analyse(
    head: dict[str, Any], records: Iterable[dict[str, Any]], ends: Iterable[dict[str, Any]]
) -> Analysis:
    """The analysis of a campaign."""
    return analysis.analyse(StoredHead.of(head), cells(records), outcomes(ends))


def check(head: dict[str, Any], found: Analysis) -> tuple[Row, ...]:
    """The expected shapes of a campaign."""
    return expected_shapes.check(StoredHead.of(head), found)


def judge(line: dict[str, Any], facts: VariantFacts) -> Verdict:
    """The verdict on it."""
    return gates.judge(StoredCell.of(line), facts)


def require_known(line: dict[str, Any], model: type[BaseModel], path: str = "") -> None:
    """Raise AssertionError that names a key of the line which no campaign writes.

    A line may lack keys, as those of earlier versions do.
    """
    for key, value in line.items():
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        assert key in fields, f"{path}{key} is no key of {model.__name__}"
        kind = fields[key].annotation
        for inner in (kind, *get_args(kind)):
            if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
                require_known(value, inner, f"{path}{key}.")
