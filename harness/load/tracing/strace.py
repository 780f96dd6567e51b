"""strace counts system calls by ptrace(2): each one stops its task twice, for one process."""

from __future__ import annotations

import re
import signal
from contextlib import suppress

from harness.load.tracing.tracer import ATTACH_S, Refused, Tracer, tasks

# Each task is stopped and let go again on its own, twice, and by one process.
TASKS_MAX = 1_100
# One row of `strace -c --summary-columns=calls,name`: a number and a name.
_ROW = re.compile(r"^\s*(\d+)\s+(\w+)\s*$", re.MULTILINE)
# The last row; and how the kernel goes on with a wait that the tracer interrupted (signal(7)).
_NO_CALLS = ("total", "restart_syscall")
_TRACER = re.compile(r"^TracerPid:\t(\d+)$", re.MULTILINE)


def calls(summary: str) -> dict[str, int]:
    """The calls by name in the summary that strace writes."""
    counted = {name: int(count) for count, name in _ROW.findall(summary)}
    return {name: count for name, count in counted.items() if name not in _NO_CALLS}


class Strace(Tracer):
    """`strace -c -f -p`."""

    name = "strace"

    def attach(self) -> None:
        """Trace every task from now on. Raises Refused or ServerGone."""
        self._require_installed()
        count = len(tasks(self._pids))
        if count > TASKS_MAX:
            raise Refused(f"{count:,} tasks; strace is attached to {TASKS_MAX:,} at most")
        process = self._process = self._start(
            *("strace", "-f", "-c", "--summary-columns=calls,name"),
            *("-o", str(self._directory / "summary")),
            *(part for pid in self._pids for part in ("-p", str(pid))),
        )
        self._watch.until(lambda: process.poll() is not None or self._is_attached(), ATTACH_S)
        if process.poll() is not None or not self._is_attached():
            raise self._undone(process, "attach")

    def detach(self) -> dict[str, int]:
        """Stop tracing; the calls that were made meanwhile. Raises Refused or ServerGone."""
        self._process.send_signal(signal.SIGINT)
        self._require_end(self._process)
        return calls((self._directory / "summary").read_text())

    def _is_attached(self) -> bool:
        tracer = str(self._process.pid)
        for task in tasks(self._pids):
            with suppress(OSError):  # ended
                found = _TRACER.search((task / "status").read_text())
                if found is None or found[1] != tracer:
                    return False
        return True
