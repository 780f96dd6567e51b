"""Tell a signal from outside the harness from a program's own end. Pure.

An exit code is negative for a signal where a process is waited for, and 128 more where an init
reports it, as in a container.
"""

from __future__ import annotations

import signal

# What a person, a service manager or the kernel's OOM killer sends. A program that fails has others
# (SIGSEGV, SIGABRT, SIGPIPE …).
OUTSIDE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM})


def from_outside(exit_code: int) -> signal.Signals | None:
    """The signal that ended it, if that is one of `OUTSIDE`."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    return signal.Signals(number) if number in OUTSIDE else None


def told(number: signal.Signals, *, lacked_memory: bool, senders: str) -> str:
    """What ended it, in words; `senders` are examples of what may have sent the signal."""
    if lacked_memory and number == signal.SIGKILL:
        return "the kernel killed it for lack of memory (OOM)"
    return f"{number.name} from outside the harness, as by {senders}"
