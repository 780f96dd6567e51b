"""Hold a server under its keeper (harness/backends/keeper.py), for the process backend."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.backends import keeper
from harness.backends.cpu_time import CpuGroup
from harness.backends.trial_processes import Recorded
from harness.host.bounded_output import WrittenPipe
from harness.host.fair_wait import Wait

STATUS_BYTES = 64
# From the keeper's SIGKILL to all its processes until the kernel has removed the last.
END_S = 5.0
GROUP_POLL_S = 0.01
ORDERS = {signal.SIGTERM: b"T", signal.SIGKILL: b"K"}


class KeptServer:
    """One server process, every process that it forked, and the end of its stderr."""

    def __init__(
        self,
        processes: Recorded,
        prefix: Sequence[str],
        command: Sequence[str],
        *,
        group: CpuGroup | None,
        directory: Path,
        variables: Mapping[str, str],
    ) -> None:
        """Start it. `prefix` is the command prefix of the keeper."""
        self.group = group
        self.log = WrittenPipe()
        self._channel, theirs = socket.socketpair()
        joins = str(group.members) if group else ""
        try:
            self.process = processes.start(
                [
                    *(*prefix, sys.executable, "-I", "-S", keeper.__file__),
                    *(str(theirs.fileno()), joins, *command),
                ],
                variables=variables,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.log.writer,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            self.log.close()
            self._channel.close()
            raise
        finally:
            theirs.close()
            self.log.close_writer()
        self._exit_code: int | None = None
        self._has_ended = self._is_over = False

    def signal(self, number: signal.Signals) -> None:
        """Send it SIGTERM or SIGKILL, unless it has ended."""
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(ORDERS[number])

    def wait(self, timeout_s: float) -> bool:
        """Wait until the server ends by itself; return whether it did within `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while not self._has_ended:
            left_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self._channel], [], [], left_s)[0]:
                return False
            told = b""
            with contextlib.suppress(ConnectionResetError):  # the keeper ended with an order unread
                told = self._channel.recv(STATUS_BYTES)
            self._has_ended = True
            # No exit code: the keeper was killed, or never started
            self._exit_code = _number(told) if told else self.process.wait()
        return True

    def stop(self, waiting: Wait, *, asks: bool = True) -> int | None:
        """SIGTERM, then SIGKILL after the wait; return its exit code, None if killed here.

        Without `asks`, only wait for its own end.
        """
        if self.wait(0):
            return self._exit_code
        waiting.begin()
        if asks:
            self.signal(signal.SIGTERM)
        if waiting.until(self.wait):
            return self._exit_code
        self.signal(signal.SIGKILL)
        self.wait(END_S)
        return None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._exit_code

    def end(self) -> None:
        """Remove it completely, with every process that it forked and its control group."""
        if self._is_over:
            return
        self._is_over = True
        self._channel.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()
        if self.group is not None:
            # This works only once the last process in it is gone; a killed one may still exist
            deadline_s = time.monotonic() + END_S
            while not self.group.remove() and time.monotonic() < deadline_s:
                time.sleep(GROUP_POLL_S)


def _number(told: bytes) -> int | None:
    """The exit code that the keeper wrote; None if it wrote something else."""
    try:
        return int(told)
    except ValueError:
        return None
