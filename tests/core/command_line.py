"""Runs `c10k` inside the test's own process: the entry point, its output and its exit code."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from harness import cli


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def c10k(*arguments: str | Path) -> Ended:
    """Run the command in this process and this directory."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["c10k", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            return Ended(int(ended.code or 0), out.getvalue(), err.getvalue())
