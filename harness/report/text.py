"""The end of a campaign on a terminal: verdict, validity and ranked table, as on the page."""

from __future__ import annotations

from harness.report import columns, shapes
from harness.report.model import Model
from harness.report.table import RankedRow

HEADER = (
    *("rank", "server", "echoes/CPU s", "±", "slower by", "echoes/s", "p99 ms*", "held"),
    *("KiB/conn", "CPU/echo", "conforms", "failures"),
)
LEFT = ("rank", "server", "failures")
NOTE = "* closed loop: time in the queue at full load"


def render(model: Model) -> str:
    """The report in plain text, without colours, ending in a newline."""
    lines = [*model.verdict_lines, model.validity.text, "", model.caption]
    for group in model.groups:
        if group.title:
            lines += ["", group.title]
        lines += columns.aligned([HEADER, *(row(one) for one in group.rows)], LEFT)
    if any(group.rows for group in model.groups):
        lines.append(NOTE)
    lines += ["", *shapes.lines(model.shapes)]
    return "\n".join(lines) + "\n"


def row(row: RankedRow) -> tuple[str, ...]:
    """The cells of one row, under `HEADER`."""
    interval = row.interval.removeprefix("± ")
    return (
        *(row.rank, row.variant, row.efficiency, interval, row.slower, row.rate, row.p99_ms),
        *(row.held, row.memory_kib, row.cpu_us, row.conforms, row.words),
    )
