"""Keep commands running when standard output or standard error accepts no more data.

The terminal closed, the disk is full, the reader ended (`| head`), or the encoding lacks a
character. The command continues, without the text that the stream refused. At the end `lost`
returns the error.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import Any

STREAMS = {"stdout": 1, "stderr": 2}
ENCODING_USUAL = "utf-8"


class _Descriptor(io.RawIOBase):
    """A stream that writes to a descriptor and keeps the first error instead of raising it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self.lost: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: Any, /) -> int:
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # the process at the other end made the pipe non-blocking
                select.select([], [self._number], [])
            except OSError as error:
                self.lost = self.lost or error
                return len(memoryview(data))


class _State:
    stdout: _Descriptor | None = None
    is_display = False


def make_safe() -> None:
    """Replace sys.stdout and sys.stderr.

    Opens closed standard streams first: otherwise the next file would get their number.
    """
    for number in (0, *STREAMS.values()):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for name, number in STREAMS.items():
        stream = getattr(sys, name)
        with contextlib.suppress(AttributeError, OSError):
            stream.flush()
        descriptor = _Descriptor(number)
        safe = io.TextIOWrapper(
            io.BufferedWriter(descriptor),
            getattr(stream, "encoding", None) or ENCODING_USUAL,
            errors="backslashreplace",
            line_buffering=number == STREAMS["stderr"] or descriptor.isatty(),
        )
        setattr(sys, name, safe)
        if name == "stdout":
            _State.stdout = descriptor


def is_display_only() -> None:
    """Declare that this command prints only progress: its results are in files."""
    _State.is_display = True


def lost() -> OSError | None:
    """Return the error because of which standard output lacks results; None if it lacks none.

    A reader that ended early (EPIPE) is no error.
    """
    with contextlib.suppress(ValueError):  # closed
        sys.stdout.flush()
    error = _State.stdout.lost if _State.stdout else None
    return None if error is None or error.errno == errno.EPIPE or _State.is_display else error
