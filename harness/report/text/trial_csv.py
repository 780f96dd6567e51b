"""Lay out every measured cell of every trial as CSV: one row per server, trial and cell.

A row has figures only if its cell is valid or noisy. Attempts that a later one replaced are left
out, as they are in the report.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.frame import frame
from harness.analysis.histograms import merged_latency
from harness.analysis.proven import proven
from harness.analysis.results import Latency
from harness.contract.record import Record
from harness.contract.stored_campaign import StoredHead, StoredOutcome
from harness.contract.stored_cell import StoredCell
from harness.gates import USABLE
from harness.report.plain_data import rounded

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        unit: empty for a text or a count.
        value: reads it from a row of the frame.
        is_figure: whether it was measured, so that only a valid or noisy cell has it.
    """

    name: str
    unit: str
    meaning: str
    value: Callable[[Row], Any]
    is_figure: bool = False


def _of(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


def _of_key(name: str) -> Callable[[Row], Any]:
    return lambda row: getattr(row["key"], name)


def _percentile(name: str) -> Callable[[Row], Any]:
    def read(row: Row) -> float | None:
        found: Latency | None = row["latency"]
        return getattr(found, name) if found else None

    return read


def _memory(row: Row) -> float | None:
    kinds = [row[name] for name in ("user", "stack", "kernel", "sockets")]
    return None if _is_empty(row["user"]) or _is_empty(row["kernel"]) else _sum(kinds)


def _sum(values: Sequence[float]) -> float:
    return sum(value for value in values if not _is_empty(value))


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _figure(name: str, unit: str, meaning: str, value: Callable[[Row], Any]) -> Column:
    return Column(name, unit, meaning, value, is_figure=True)


COLUMNS = (
    Column("server", "", "name of the server", _of("variant")),
    Column("block", "", "number of the block, from 1; 0 measures capacities", _of("block")),
    Column("wave", "", "number of the wave in the block, from 1; 0 without waves", _of("wave")),
    Column("trial", "", "name of the trial", _of("trial")),
    Column("attempt", "", "attempt at the trial that supplies the row, from 1", _of("attempt")),
    Column("scenario", "", "kind of load", _of_key("scenario")),
    Column("connections", "", "connections asked for", _of_key("connections")),
    Column("active", "", "connections that send", _of_key("active")),
    Column("payload_bytes", "bytes", "message size", _of_key("payload_bytes")),
    Column("depth", "", "messages in flight per active connection", _of_key("depth")),
    Column("rate_share", "", "offered share of the server's capacity", _of_key("rate_share")),
    Column("rate_offered_per_s", "1/s", "offered rate of an open loop", _of("offered_per_s")),
    Column("closing", "", "how connections end in churn, `fin` or `rst`", _of_key("closing")),
    Column(
        "status", "", "`valid`, `noisy`, `unproven`, `void`, `capped`, `missing`", _of("status")
    ),
    Column(
        "reasons",
        "",
        "codes of the gates that it failed, with `;` between them",
        lambda row: ";".join(code for code, _ in row["reasons"]),
    ),
    Column("held", "", "connections established, the lowest count", _of("held")),
    _figure("echoes_per_cpu_s", "1/s", "echoes per second of server CPU", _of("efficiency")),
    _figure("echoes_per_s", "1/s", "echoes per second of the window", _of("rate")),
    _figure("cpu_us_per_echo", "µs", "CPU time of the server per echo", _of("cpu_us_per_echo")),
    _figure("latency_p50_us", "µs", "median latency", _percentile("p50")),
    _figure("latency_p99_us", "µs", "99th percentile of the latency", _percentile("p99")),
    _figure("server_busy", "", "busy share of the server's CPUs, 0 to 1", _of("server_busy")),
    _figure("generator_busy", "", "busy share of the load's CPUs, 0 to 1", _of("generator_busy")),
    _figure("switches_per_echo", "", "context switches per echo", _of("switches_per_echo")),
    _figure("threads", "", "threads of the server", _of("threads")),
    _figure("memory_bytes_per_connection", "bytes", "beyond the server without any", _memory),
    _figure(
        "time_to_n_s", "s", "time until all connections were open, in a ramp", _of("time_to_n_s")
    ),
)


def render(
    campaign: Mapping[str, Any],
    records: Sequence[Record],
    outcomes: Sequence[Record],
    *,
    with_latency: bool,
) -> str:
    """Return the rows under a header of the column names.

    Args:
        campaign: `campaign.json`.
        records: the lines of `trials.jsonl`.
        outcomes: the lines of `outcomes.jsonl`.
        with_latency: whether latencies may be shown; False if the self-test failed for them.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.name for column in COLUMNS)
    head = StoredHead.of(campaign)
    cells = [StoredCell.of(line) for line in records]
    ends = [StoredOutcome.of(line) for line in outcomes]
    for row in proven(head, frame(head, cells, ends)).to_dict("records"):
        if row["is_used"]:
            has_latency = with_latency and isinstance(row["histogram"], str)
            latency = merged_latency([row["histogram"]]) if has_latency else None
            known = {str(name): value for name, value in row.items()}
            writer.writerow(_cells(known | {"latency": latency}))
    return out.getvalue()


def _cells(row: Row) -> list[Any]:
    has_figures = row["status"] in USABLE
    read = [
        column.value(row) if has_figures or not column.is_figure else None for column in COLUMNS
    ]
    return ["" if _is_empty(one) else _plain(one) for one in read]


def _plain(value: Any) -> Any:
    return rounded(value, digits=6) if isinstance(value, float) else value
