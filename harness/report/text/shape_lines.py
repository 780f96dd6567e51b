"""Lay out expected shapes as lines for a terminal and rows for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.analysis import expected_shapes
from harness.analysis.expected_shapes import Row
from harness.report.text import columns

SIGNS = {
    "pass": "✓ pass",
    "fail": "✕ FAIL",
    "not settled": "? not settled",
    "not applicable": "– not applicable",
}
HEADER = ("verdict", "shape", "observed", "expected", "source")


def failed_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the conclusion, which counts all shapes, then each failed one in full."""
    yield expected_shapes.conclusion(rows)
    for row in rows:
        if row.verdict == "fail":
            yield f"{SIGNS[row.verdict]}  {row.id}: {row.observed_text}"
            yield f"        expected: {row.bound} [{row.source}]"


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the conclusion, then a table in GitHub's Markdown."""
    yield columns.escaped(expected_shapes.conclusion(rows))
    yield ""
    yield from columns.markdown(
        [HEADER, *((row.verdict, row.id, observed(row), row.bound, row.source) for row in rows)],
        HEADER,
    )


def observed(row: Row) -> str:
    """Return what was observed, or why nothing was."""
    return row.reason if row.verdict == "not applicable" else row.observed_text
