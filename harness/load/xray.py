"""Counts the system calls of the server while one cell's traffic runs, by tracing it.

Tracing makes every call many times as dear, so nothing here is timed: what is counted is how many
calls an echo takes. The plan gives the traffic a slow pace, because in a closed loop a server that
is held up finds the next message where it would have found none. The tracer is attached after the
connections are open and detached after the last reply, so that the calls are those of the traffic
and of nothing else.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.load.fleet import Fleet
from harness.load.trial import Cell, Trial
from harness.load.watch import Watch

TOOL = "strace"
# An order needs this long to reach every worker.
START_S = 0.05
ATTACH_S = 10.0
DETACH_S = 15.0
# Each task is stopped and let go again on its own, twice, and by one process.
TASKS_MAX = 1_100
# One row of `strace -c --summary-columns=calls,name`: a number and a name.
_ROW = re.compile(r"^\s*(\d+)\s+(\w+)\s*$", re.MULTILINE)
# The last row; and how the kernel goes on with a wait that the tracer interrupted (signal(7)).
_NO_CALLS = ("total", "restart_syscall")
_TRACER = re.compile(r"^TracerPid:\t(\d+)$", re.MULTILINE)


class Refused(Exception):
    """The system calls of this server cannot be counted here. The message says why."""


def calls(summary: str) -> dict[str, int]:
    """The calls by name in the summary that strace writes."""
    counted = {name: int(count) for count, name in _ROW.findall(summary)}
    return {name: count for name, count in counted.items() if name not in _NO_CALLS}


def count(
    cell: Cell, trial: Trial, pids: Sequence[int], fleet: Fleet, watch: Watch
) -> dict[str, Any]:
    """Run the cell's traffic under the tracer: its calls by name and its echoes, or why not.

    Raises ServerGone or FleetFault.
    """
    tracer = Tracer(pids, watch)
    try:
        tracer.attach()
        before = fleet.status()
        _run_traffic(cell, trial.seed + cell.index, fleet, watch)
        settle_s = trial.timeouts.settle_s
        if not watch.until(lambda: _is_over(cell, fleet), settle_s):
            raise Refused(f"not every reply came within {settle_s:g} s of the traffic's end")
        syscalls = tracer.detach()
        echoes = fleet.status().echoes - before.echoes
        return {"tool": TOOL, "syscalls": syscalls, "echoes": echoes, "reason": None}
    except Refused as refused:
        return not_counted(str(refused))
    finally:
        tracer.close()
        fleet.stop()


def not_counted(reason: str) -> dict[str, Any]:
    """What is told of a cell whose calls are not known."""
    return {"tool": None, "syscalls": None, "echoes": None, "reason": reason}


def _run_traffic(cell: Cell, seed: int, fleet: Fleet, watch: Watch) -> None:
    start_ns = time.monotonic_ns() + int(max(cell.warmup_s, START_S) * 1e9)
    end_ns = start_ns + int(cell.window_s * 1e9)
    fleet.start(cell, seed, start_ns, end_ns)
    watch.sleep_until(end_ns)
    watch.until(lambda: fleet.windows(cell.index) is not None, ATTACH_S)
    fleet.stop()


def _is_over(cell: Cell, fleet: Fleet) -> bool:
    return fleet.stopped(cell.index) and fleet.status().outstanding == 0


def tasks(pids: Sequence[int]) -> list[Path]:
    """The directories of all tasks of these processes."""
    found: list[Path] = []
    for pid in pids:
        with suppress(OSError):
            found += Path(f"/proc/{pid}/task").iterdir()
    return found


class Tracer:
    """strace, attached to all tasks of some processes from `attach` to `detach`."""

    def __init__(self, pids: Sequence[int], watch: Watch) -> None:
        self._pids = pids
        self._watch = watch
        self._directory = tempfile.TemporaryDirectory(prefix="c10k-xray-")
        self._summary = Path(self._directory.name, "summary")
        self._process: subprocess.Popen[bytes] | None = None

    def attach(self) -> None:
        """Trace every task from now on. Raises Refused or ServerGone."""
        if shutil.which(TOOL) is None:
            raise Refused(f"{TOOL} is not installed here")
        count = len(tasks(self._pids))
        if count > TASKS_MAX:
            raise Refused(f"{count:,} tasks; {TOOL} is attached to {TASKS_MAX:,} at most")
        with Path(self._directory.name, "messages").open("wb") as messages:
            self._process = subprocess.Popen(
                [
                    *(TOOL, "-f", "-c", "--summary-columns=calls,name"),
                    *("-o", str(self._summary)),
                    *(part for pid in self._pids for part in ("-p", str(pid))),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
            )
        process = self._process
        self._watch.until(lambda: process.poll() is not None or self._is_attached(), ATTACH_S)
        if process.poll() is not None or not self._is_attached():
            raise Refused(f"{TOOL} is not attached after {ATTACH_S:g} s: {self._last_message()}")

    def detach(self) -> dict[str, int]:
        """Stop tracing; the calls that were made meanwhile, by name. Raises Refused, ServerGone."""
        process = self._process
        assert process is not None  # noqa: S101 (attach() came to its end)
        process.send_signal(signal.SIGINT)
        if not self._watch.until(lambda: process.poll() is not None, DETACH_S):
            raise Refused(f"{TOOL} did not end within {DETACH_S:g} s")
        return calls(self._summary.read_text())

    def close(self) -> None:
        """Leave nothing behind: the kernel lets go of what a tracer that ends had attached."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def _is_attached(self) -> bool:
        assert self._process is not None  # noqa: S101 (called from attach() only)
        tracer = str(self._process.pid)
        for task in tasks(self._pids):
            with suppress(OSError):  # ended
                found = _TRACER.search((task / "status").read_text())
                if found is None or found[1] != tracer:
                    return False
        return True

    def _last_message(self) -> str:
        text = Path(self._directory.name, "messages").read_text(errors="replace").strip()
        return text.splitlines()[-1] if text else "it said nothing"
