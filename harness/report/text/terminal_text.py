"""Lay out the end of a campaign for a terminal: verdict, validity and ranked table."""

from __future__ import annotations

from harness.report.model import Model
from harness.report.sections.tables import RankedRow
from harness.report.text import columns, shape_lines

LEFT = ("rank", "server", "failures")
NOTE = "* closed loop: time in the queue at full load"


def header(model: Model) -> tuple[str, ...]:
    """Return the columns; if latencies are hidden, events per wake-up replace them."""
    return (
        *("rank", "server", "echoes/CPU s", "±", "slower by", "echoes/s"),
        "events/wake-up" if model.no_latency else "p99 ms*",
        *("held", "KiB/conn", "CPU/echo", "conforms", "failures"),
    )


def note(model: Model) -> str:
    """Return what the table's column of latencies means, or why there is none."""
    return model.no_latency or NOTE


def render(model: Model) -> str:
    """Return the report as plain text, without colours, ending in a newline."""
    lines = [*model.verdict_lines, model.validity.text, "", model.caption]
    for group in model.groups:
        if group.title:
            lines += ["", group.title]
        lines += columns.aligned([header(model), *(row(one, model) for one in group.rows)], LEFT)
    if any(group.rows for group in model.groups):
        lines.append(note(model))
    lines += ["", *shape_lines.lines(model.shapes)]
    return "\n".join(lines) + "\n"


def row(row: RankedRow, model: Model) -> tuple[str, ...]:
    """Return the cells of one row, under `header`."""
    interval = row.interval.removeprefix("± ")
    return (
        *(row.rank, row.variant, row.efficiency, interval, row.slower, row.rate),
        row.events if model.no_latency else row.p99_ms,
        *(row.held, row.memory_kib, row.cpu_us, row.conforms, row.words),
    )
