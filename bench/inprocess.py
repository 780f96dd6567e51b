"""Run `c10k` inside this process; capture its output and its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO
from unittest.mock import patch

from harness.cli import main

HANG_S = 30.0


class Hang(BaseException):
    """The command took longer than `HANG_S`. No handler of the harness may catch it."""


@dataclass(frozen=True)
class Ended:
    """The output and exit code of a command."""

    code: int
    out: str
    err: str


def c10k(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Run the command in the current directory.

    Raises:
        Hang: the command does not end.
    """
    code = 0
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        patch.object(sys, "argv", ["c10k", *map(str, arguments)]),
        patch.dict(os.environ, environment or {}),
        _written_to(1, "stdout", out),
        _written_to(2, "stderr", err),
        _limited(),
    ):
        try:
            main.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return Ended(code, _text(out), _text(err))


@contextlib.contextmanager
def _written_to(number: int, name: str, file: IO[bytes]) -> Iterator[None]:
    """Redirect a descriptor to a file, so that writes outside of Python's stream arrive too."""
    stream = getattr(sys, name)
    stream.flush()
    kept = os.dup(number)
    os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        setattr(sys, name, stream)
        os.dup2(kept, number)
        os.close(kept)


def _text(file: IO[bytes]) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
