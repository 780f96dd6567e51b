"""Errors that name whose fault it is, what to do next, and the exit code they end with.

    C10kError
    ├── UsageError     2   a flag, a profile or a variant file
    ├── HostNotFit     3   the host lacks what the plan needs
    │   └── EngineGone     the Docker engine stopped in the middle of the work
    ├── ServerFault    4   a variant failed to build, start or run
    └── Unproven       5   the load generator failed its self-test, so nothing can be ranked

    Interrupted      130   SIGINT, SIGTERM or SIGHUP; or a signal from outside ended the load

Anything else that reaches the command line is a bug in the harness: exit code 1.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum


class Exit(IntEnum):
    """The documented exit codes of `c10k`."""

    OK = 0
    BUG = 1
    USAGE = 2
    HOST_NOT_FIT = 3
    SERVER_FAULT = 4
    GATE_FAILED = 5
    INTERRUPTED = 130


EXIT_MEANINGS: dict[Exit, str] = {
    Exit.OK: "done and valid",
    Exit.BUG: "bug in the harness",
    Exit.USAGE: "usage, profile or variant file",
    Exit.HOST_NOT_FIT: "host not fit, or another campaign is running on it",
    Exit.SERVER_FAULT: "a server failed to build, conform or run",
    Exit.GATE_FAILED: "a ranked cell has void trials, a capacity could not be measured, "
    "other processes disturbed a trial, a server regressed, or the generator failed its self-test "
    "so that nothing can be ranked",
    Exit.INTERRUPTED: "interrupted, partial results saved",
}


def ending(code: int) -> str:
    """The last line of a command that does not end with 0: the exit code and its meaning."""
    known = {one.value: meaning for one, meaning in EXIT_MEANINGS.items()}
    return f"exit {int(code)}: {known.get(int(code), 'not a documented exit code')}"


class C10kError(Exception):
    """An error with a message (what and where) and a hint (what to do next).

    `report` is the path of the report that was drawn all the same; empty where there is none.
    """

    exit_code = Exit.BUG
    report = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(C10kError):
    """A flag, a profile or a variant file is wrong."""

    exit_code = Exit.USAGE


class HostNotFit(C10kError):
    """The host lacks what the plan needs."""

    exit_code = Exit.HOST_NOT_FIT


class EngineGone(HostNotFit):
    """The Docker engine stopped in the middle of the work."""


class ServerFault(C10kError):
    """A variant failed to build, to get ready or to keep running."""

    exit_code = Exit.SERVER_FAULT

    def __init__(self, message: str, *, hint: str = "", code: str = "", log: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.log = log


class Unproven(C10kError):
    """The load generator failed what a ranking stands on, and the campaign was stopped for it."""

    exit_code = Exit.GATE_FAILED


class Interrupted(BaseException):
    """A signal arrived, here or at the load; what was measured is saved.

    No Exception, as KeyboardInterrupt is none: libraries that catch every error of their own work,
    as the SDK of the engine does, would take the signal for one.
    """

    exit_code = Exit.INTERRUPTED
    report = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


# What this host has too little of, or refuses, and what to do about it.
_ROOM = "Make room on that disk (`df -h`, `df -i`), then run the same command again."
_FILES = "Raise the limit of open files (`ulimit -n`)."
_MEMORY = "Raise the limit of memory (`ulimit -v`), or free some."
_TASKS = "Raise the limit of processes and threads (`ulimit -u`)."
_ACCESS = "Run the command as a user who may, or name another directory."
LACKS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _TASKS,
}
# What ld.so says of a library that it cannot map.
UNMAPPED = ("failed to map segment", "cannot allocate memory", "cannot apply additional memory")
_REFUSES = (errno.EACCES, errno.EPERM, errno.EROFS)


def lacking(error: BaseException) -> tuple[str, str] | None:
    """What the host lacks that ended a command, and what to do; None for any other error."""
    if isinstance(error, MemoryError):
        return "this host, or a limit, leaves c10k too little memory", _MEMORY
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "this host, or a limit, allows c10k no more threads", _TASKS
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return str(error.strerror), "Make room there, or name a directory by TMPDIR."
    if isinstance(error, ImportError) and any(words in _causes(error) for words in UNMAPPED):
        return "this host, or a limit, leaves c10k too little memory for its libraries", _MEMORY
    if not isinstance(error, OSError) or error.errno is None:
        return None
    hint = LACKS.get(error.errno, "")
    if error.errno in _REFUSES and error.filename is not None:
        hint = _ACCESS
    where = f"{error.filename}: " if error.filename is not None else ""
    return (f"{where}{os.strerror(error.errno).lower()}", hint) if hint else None


def _causes(error: BaseException | None) -> str:
    """The text of an error and of all that it comes from."""
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(texts)
