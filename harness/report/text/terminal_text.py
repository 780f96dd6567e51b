"""Lay out the end of a campaign for a terminal: verdict, validity and ranked table."""

from __future__ import annotations

from harness.report.model import Model
from harness.report.sections.tables import RankedRow
from harness.report.text import columns, shape_lines

LEFT = ("rank", "server", "failures")
# With the lines that follow it (data, path, exit code) the text fits a terminal of 25 lines.
LINES_MAX = 20
ROWS_MIN = 3
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
    """Return the end of a campaign as plain text, ending in a newline.

    Many servers are cut to the best of each group, so that the text stays within `LINES_MAX` lines
    unless shapes fail. The report has all of them.
    """
    before = [*model.verdict_lines, model.validity.text, "", model.caption]
    after = list(shape_lines.failed_lines(model.shapes))
    groups = [group for group in model.groups if group.rows]
    # A title, the columns and the line that counts the rest, of each group; and the note
    taken = len(before) + len(after) + sum(2 + bool(group.title) for group in groups) + 1
    rows_max = max(ROWS_MIN, (LINES_MAX - taken) // max(1, len(groups)))
    lines = before
    for group in groups:
        shown = group.rows if len(group.rows) <= rows_max + 1 else group.rows[:rows_max]
        lines += [group.title] if group.title else []
        lines += columns.aligned([header(model), *(row(one, model) for one in shown)], LEFT)
        if rest := len(group.rows) - len(shown):
            lines.append(f"and {rest} more, in the report")
    if groups:
        lines.append(note(model))
    return "\n".join([*lines, *after]) + "\n"


def row(row: RankedRow, model: Model) -> tuple[str, ...]:
    """Return the cells of one row, under `header`."""
    interval = row.interval.removeprefix("± ")
    return (
        *(row.rank, row.variant, row.efficiency, interval, row.slower, row.rate),
        row.events if model.no_latency else row.p99_ms,
        *(row.held, row.memory_kib, row.cpu_us, row.conforms, row.words),
    )
