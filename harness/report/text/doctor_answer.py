"""Lay out the doctor's answer for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from harness.doctor.answer import Answer
from harness.host.facts import Finding
from harness.report.text import columns

HEADER = ("", "check", "set", "needed", "whose")
# A word and a sign for each level, so that no meaning depends on colour alone.
SIGNS = {"ok": "✓ ok", "note": "· note", "warning": "⚠ warning", "error": "✕ error"}


def render(answer: Answer) -> str:
    """Return the table of all findings, the remedies of those that matter, and the conclusion."""
    rows = [
        (SIGNS[one.level], one.check, one.value, one.needed, one.scope) for one in answer.findings
    ]
    lines = columns.aligned([HEADER, *rows], HEADER)
    for level in ("error", "warning", "note"):
        for found in answer.of(level):
            lines += ["", *remedy(found)]
    return "\n".join([*lines, "", f"{answer.largest}.", answer.conclusion])


def remedy(found: Finding) -> Iterator[str]:
    """Yield the finding, the user who can change it, and the command."""
    yield f"{SIGNS[found.level]}: {found.check}: {found.text}"
    if found.command:
        yield f"    {found.who}:"
        yield f"    {found.command}"


def warnings(answer: Answer) -> Iterator[str]:
    """Yield one line for each warning: the campaign starts despite them."""
    for found in answer.of("warning"):
        yield f"warning: {found.check}: {found.text}"
