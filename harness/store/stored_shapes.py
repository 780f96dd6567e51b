"""Check the shape of a campaign's files, as far as their readers rely on it.

Pure: it takes plain values and returns a sentence about the first fault. Readers take a missing
number for "not observed", so a shape requires little: tables, lists and names have their types, and
each number is finite. Keys that a shape does not list may have any value.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.contract.campaign_head import PlannedTrial

Table = dict[str, Any]
Numbers = dict[str, float | None]
# A gate's code and its text.
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
# A seed has 64 bits, a time in nanoseconds fewer.
DIGITS_MAX = 21
SHOWN_LETTERS = 40
# Number of Locust workers besides one master.
WORKERS_MAX = 64


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Measured(_Shape):
    name: str
    digest: str
    outputs: list[str] = []


class Resumable(_Shape):
    """The part of `campaign.json` that a resume needs."""

    profile: Table
    seed: int = Field(ge=0)
    workers: int = Field(ge=0, le=WORKERS_MAX)
    argv: list[str]
    backend: Literal["docker", "process"]
    budget_s: float | None = None
    environment: Table
    variants: list[_Measured] = Field(min_length=1)
    plan: list[PlannedTrial] = Field(min_length=1)


class _Ramp(_Shape):
    timeline: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = []


class _Wait(_Shape):
    model_config = ConfigDict(extra="forbid", strict=True)

    span_ns: int
    cpus: int
    server_ns: int | None
    busy_ns: int | None
    steal_ns: int | None
    load_wait_ns: int | None
    exact_ns: int


class _Server(_Shape):
    charged: Table | None = None
    counters: Numbers | None = None
    memory_bytes: Numbers | None = None
    memory_baseline_bytes: Numbers | None = None


class _Limits(_Shape):
    asked: Table = {}
    applied: Table = {}


class Cell(_Shape):
    """A line of `trials.jsonl`."""

    cell: int
    trial: str = ""
    variant: str = ""
    block: int = 0
    attempt: int = 1
    scenario: str = ""
    closing: Literal["fin", "rst"] | None = None
    status: str = ""
    reasons: list[Pair] = []
    histogram: str | None = None
    parts_per_s: list[float] | None = None
    errors: Numbers | None = None
    latency_us: Numbers | None = None
    wait: _Wait | None = None
    tcp: Numbers | None = None
    ramp: _Ramp | None = None
    churn: Table | None = None
    server: _Server | None = None
    generator: Table | None = None
    host: Table | None = None
    limits: _Limits | None = None
    failure: Table | None = None

    @field_validator("histogram")
    @classmethod
    def _decodes(cls, text: str | None) -> str | None:
        from harness.engine import histogram  # importing its package loads the engine

        if text is not None and (damage := histogram.damage(text)) is not None:
            raise ValueError(f"damaged histogram: {damage}")
        return text


class WholeCell(Cell):
    """A cell with everything that a resume needs."""

    trial: str
    variant: str
    block: int
    attempt: int
    scenario: str
    connections_requested: int
    payload_bytes: int
    depth: int


class Outcome(_Shape):
    """A line of `outcomes.jsonl`."""

    outcome: str
    code: str
    trial: str = ""
    variant: str = ""
    text: str = ""
    attempt: int = 1
    repeats: list[int] | None = None


class WholeOutcome(Outcome):
    """An outcome with everything that a resume needs."""

    trial: str
    variant: str
    block: int
    text: str
    attempt: int


class Xray(_Shape):
    """A line of `xray.jsonl`."""

    variant: str
    cell: int
    tool: str | None
    reason: str | None = None
    syscalls: dict[str, int] | None = None


class OutOfRange(ValueError):
    """A number that no reader can use: not finite, or with more digits than any count has."""


def parse(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        OutOfRange: it has such a number.
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_float, parse_int=_int)
    except RecursionError:
        raise ValueError("its lists or tables are nested too deeply") from None


def problem(document: object, shape: type[BaseModel]) -> str | None:
    """Describe what is wrong with a document; None if it has the shape."""
    try:
        shape.model_validate(document)
    except ValidationError as error:
        return fault(error)
    return None


def fault(error: ValidationError) -> str:
    """Describe the first fault: its key, and what was expected."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"])) or "the document"
    return f"`{key}`: {first['msg']}"


def _refused(text: str) -> NoReturn:
    raise OutOfRange(f"{text} is no finite number")


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text[:SHOWN_LETTERS])


def _int(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise OutOfRange(f"an integer has {len(text):,} digits")
    return int(text)
