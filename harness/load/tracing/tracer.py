"""What the tools that count system calls have in common: processes in, calls by name out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # it imports gevent, and who only has to close a tracer does without
    from harness.load.watch import Watch

ATTACH_S = 10.0
DETACH_S = 15.0
KILLED_S = 1.0
MESSAGE_MAX = 300

# Those that are not closed yet, for whoever ends this process at once.
_open: set[Tracer] = set()


class Refused(Exception):
    """This tool cannot count the system calls of this server here. The message says why."""


class Tracer:
    """One tool, attached to all tasks of some processes from `attach` to `detach`."""

    name: ClassVar[str]

    def __init__(self, pids: Sequence[int], watch: Watch) -> None:
        self._pids = pids
        self._watch = watch
        self._temporary = tempfile.TemporaryDirectory(prefix="c10k-xray-")
        self._directory = Path(self._temporary.name)
        self._started: list[subprocess.Popen[bytes]] = []
        _open.add(self)

    def attach(self) -> None:
        """Count from now on. Raises Refused or ServerGone."""
        raise NotImplementedError

    def detach(self) -> dict[str, int]:
        """Stop; the calls that were made meanwhile, by name. Raises Refused or ServerGone."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind: the kernel lets go of what a tool that ends had attached.

        A signal handler may call it while any other method is at work, this one included.
        """
        for process in self._started:
            if process.poll() is None:
                # Its children, too: strace tries out ptrace(2) on one that waits for its signal
                # It may have ended, and been reaped by the poll that was interrupted
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                # Without a limit it waits for ever for the lock of a poll that a signal interrupted
                with suppress(subprocess.TimeoutExpired):
                    process.wait(KILLED_S)
        self._temporary.cleanup()
        _open.discard(self)

    def _require_installed(self) -> None:
        if shutil.which(self.name) is None:
            raise Refused(f"{self.name} is not installed here")

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._directory / "messages").open("ab") as messages:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self._started.append(process)
        return process

    def _require_end(self, process: subprocess.Popen[bytes]) -> None:
        if not self._watch.until(lambda: process.poll() is not None, DETACH_S):
            raise Refused(f"{self.name} did not end within {DETACH_S:g} s")

    def _undone(self, process: subprocess.Popen[bytes], what: str) -> Refused:
        """The reason of a tool that did not do something: it ended, or it took too long."""
        code = process.poll()
        if code is None:
            return Refused(f"{self.name} did not {what} within {ATTACH_S:g} s: {self._messages()}")
        return Refused(f"{self.name} did not {what}, it ended with code {code}: {self._messages()}")

    def _said(self) -> str:
        """All that the tool said, in all its processes."""
        return (self._directory / "messages").read_text(errors="replace")

    def _messages(self) -> str:
        """The end of what the tool said, on one line."""
        return " ".join(self._said().split())[-MESSAGE_MAX:] or "it said nothing"


def close_all() -> None:
    """Close every tracer that is not closed."""
    for tracer in tuple(_open):
        tracer.close()


def tasks(pids: Sequence[int]) -> list[Path]:
    """The directories of all tasks of these processes."""
    found: list[Path] = []
    for pid in pids:
        with suppress(OSError):
            found += Path(f"/proc/{pid}/task").iterdir()
    return found
