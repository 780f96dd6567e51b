"""Lay out tables of text for a terminal and as Markdown. The first row is the header."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows, left: Collection[str]) -> list[str]:
    """Return one line per row; columns whose header is in `left` align left, others right."""
    names = rows[0]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    return [
        "  ".join(
            text.ljust(width) if name in left else text.rjust(width)
            for name, text, width in zip(names, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def markdown(rows: Rows, left: Collection[str]) -> Iterator[str]:
    """Yield the lines of a table in GitHub's Markdown."""
    names = rows[0]
    yield _line(names)
    yield "|" + "|".join("---" if name in left else "--:" for name in names) + "|"
    yield from map(_line, rows[1:])


def escaped(text: str) -> str:
    """Escape `text` for Markdown: texts of servers and hosts are not markup."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"
