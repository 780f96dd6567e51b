"""Start the load processes of the process backend through a fork server.

The fork server (harness/load/forkserver.py) runs on the load's CPUs and with its limits. It starts
with the first load process and ends with this process, in whatever way that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence

from harness.contract.errors import HostNotFit
from harness.host.interrupt import shielded
from harness.load import forkserver

REPLY_BYTES_MAX = 256
END_S = 5.0


class ForkServer:
    """Start load processes.

    Attributes:
        pid: the PID of the fork server.
    """

    def __init__(self, prefix: Sequence[str]) -> None:
        """`prefix` is the command prefix that sets the fork server's CPUs and limits."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object)
        self._mutex = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-P", "-m", forkserver.__name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.pid = self._process.pid
        weakref.finalize(self, _end, self._process, self._control)

    def fork(
        self, module: str, environment: Mapping[str, str], log: int, *, has_network: bool
    ) -> LoadProcess:
        """Start `python -m module`, whose stderr is the descriptor `log`.

        `has_network`: it gets a network namespace of its own.

        Raises:
            HostNotFit: the fork server has ended.
        """
        request = {
            "module": module,
            "environment": dict(environment),
            "has_network": has_network,
        }
        stdin, our_stdin = os.pipe()
        our_stdout, stdout = os.pipe()
        our_status, status = os.pipe()
        try:
            told = [stdin, stdout, log, status]
            # A signal in between would leave the reply unread until the next request
            with shielded(), self._mutex:
                socket.send_fds(self._control, [json.dumps(request).encode()], told)
                answer, handles, _, _ = socket.recv_fds(self._control, REPLY_BYTES_MAX, 1)
            if not handles:
                raise OSError(answer.decode() or "it ended")
        except BaseException as error:
            for one in (our_stdin, our_stdout, our_status):
                os.close(one)
            if not isinstance(error, OSError):
                raise
            raise HostNotFit(
                f"the load's fork server failed: {error}. {self._said()}".rstrip(),
                hint="Is a limit of processes (`ulimit -u`) or of memory (`ulimit -v`) too low?",
            ) from None
        finally:
            for one in (stdin, stdout, status):
                os.close(one)
        ours = (our_stdin, our_stdout, our_status)
        return LoadProcess(int(answer), handles[0], ours, self._process)

    def _said(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace").strip()


class LoadProcess:
    """A process that the fork server started: its PID, and our ends of its stdin and stdout."""

    def __init__(
        self,
        pid: int,
        handle: int,
        pipes: tuple[int, int, int],
        server: subprocess.Popen[bytes],
    ) -> None:
        """`handle` is its pidfd: the kernel can reuse the PID after this process ends.

        `pipes`: our ends of its stdin, of its stdout, and of the fork server's report of its end.
        """
        self.pid = pid
        self._handle = handle
        self._stdin, stdout, self._status = pipes
        self._server = server
        self.stdout = os.fdopen(stdout, "rb")

    def write(self, line: bytes) -> None:
        """Write to its stdin, unless it has ended."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._stdin, line)

    def stop(self, timeout_s: float) -> None:
        """Send SIGTERM, and SIGKILL after `timeout_s`."""
        for number, within_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, END_S)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)
            if self._ends(within_s):
                return

    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs.

        If the fork server was killed, its exit code: the kernel then kills what it forked.
        """
        if not self._ends(END_S):
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            told = os.read(self._status, REPLY_BYTES_MAX)
            return int(told) if told else self._server.wait(END_S)
        return None

    def close(self) -> None:
        """Close our end of its stdin, and its pidfd. The reader closes its stdout."""
        for one in (self._stdin, self._handle, self._status):
            os.close(one)

    def _ends(self, within_s: float) -> bool:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(within_s * 1000))


def _end(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    control.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
