"""End at a SIGINT that comes while the command line is imported, or is over: 130, no traceback.

Python's own handler raises KeyboardInterrupt, which there prints the lines that were imported. The
command itself runs with that handler, or with those of harness/host/interrupt.py.
"""

from __future__ import annotations

import os
import signal
import sys

from harness.contract.errors import Exit, ending

# What runs the command line: the installed script, and `python -m harness.cli`.
PROGRAMS = ("/c10k", "/cli/__main__.py")


def end_at_once() -> None:
    """Have SIGINT end this process at once, where it raises KeyboardInterrupt now."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """Have SIGINT raise KeyboardInterrupt again, where `end_at_once` changed that."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, f"\n{ending(Exit.INTERRUPTED)}\n".encode())
    os._exit(Exit.INTERRUPTED)


if sys.argv[0].endswith(PROGRAMS):
    end_at_once()
