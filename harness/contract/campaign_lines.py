"""The other lines that a campaign stores: `outcomes.jsonl` and `xray.jsonl`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.contract.cell_record import Numbers, Told, Written
from harness.contract.server_counters import COUNT_END


class Totals(Written):
    """What the load counted in the whole trial."""

    connections: int
    bytes_sent: int
    bytes_received: int
    echoes: int


class OutcomeRecord(Written):
    """A line of `outcomes.jsonl`: an attempt at a trial that ended."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    trial: str
    variant: str = Field(description="the server")
    block: int = Field(description="from 1; 0 measures capacities and ranks nothing")
    wave: int = Field(description="its number in the block, from 1; 0 without waves")
    attempt: int = Field(description="at the trial, from 1")
    outcome: str = Field(description="`done` or `failed`")
    code: str = Field(description="why it failed, or what disturbed it; empty for neither")
    text: Told = Field(description="the same in a sentence")
    log_tail: Told = Field(description="the last lines of the server, or of the load")
    exit_code: int | None = Field(description="of the server; null where it had to be killed")
    counters: dict[Told, Annotated[int, Field(ge=0, lt=COUNT_END)]] | None = Field(
        description="the last that the server printed"
    )
    totals: Totals | None = Field(description="null where they are not exact")
    reconciled: bool | None = Field(description="whether both counted the same bytes")
    duration_s: float
    repeats: Numbers = Field(description="cells that were measured again; empty for a whole trial")


class CallFigures(Written):
    """A cell whose system calls were counted, or why they were not."""

    cell: int = Field(description="place of the cell in its trial, from 0")
    scenario: str
    connections_requested: int
    active: int = Field(description="connections that send")
    payload_bytes: int
    depth: int = Field(description="messages under way on each active connection")
    rate_offered_per_s: float | None = Field(description="messages; null in a closed loop")
    turns: int = Field(description="parts in which the window came")
    tool: str | None = Field(description="what counted; null where nothing did")
    syscalls: dict[str, int] | None = Field(description="{system call: how often}")
    echoes: int | None = Field(description="in the same time")
    reason: Told | None = Field(description="why nothing counted")


class Traced(Written):
    """Of which server a line is."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    variant: str = Field(description="the server")


class XrayRecord(CallFigures, Traced):
    """A line of `xray.jsonl`: a cell whose system calls were counted, or why they were not."""
