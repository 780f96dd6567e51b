"""End with exit code 130 and no traceback at a SIGINT during the imports or after the command.

Python's own handler raises KeyboardInterrupt. During the imports that would print a traceback of
them. The command itself runs with that handler, or with those of harness/host/interrupt.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from harness.contract.errors import Exit, ending

# The programs that run the command line: the installed script, and `python -m harness.cli`.
PROGRAMS = ("/c10k", "/cli/__main__.py")


def end_at_once() -> None:
    """Make SIGINT end this process at once, if it raises KeyboardInterrupt now."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """Make SIGINT raise KeyboardInterrupt again, if `end_at_once` changed that."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    with contextlib.suppress(OSError):  # standard error may be closed, or a full disk
        os.write(2, f"\n{ending(Exit.INTERRUPTED)}\n".encode())
    os._exit(Exit.INTERRUPTED)


if sys.argv[0].endswith(PROGRAMS):
    end_at_once()
