"""perf counts system calls by the kernel's tracepoints, which stop nobody and need root.

It records the begin and the end of each call, and sums them up afterwards. Its orders go through a
pipe and are answered through another, so that it is known to count before the traffic begins.
"""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress

from harness.load.tracing.tracer import ATTACH_S, Refused, Tracer, tasks

# As /proc/PID/fd of perf 6.1 shows: so many per task and CPU, and a few for itself.
DESCRIPTORS_PER_TASK = 4
DESCRIPTORS_OF_ITS_OWN = 50
# One row of `perf trace -s`: a name, its calls, and more columns, of which each version has others.
_ROW = re.compile(r"^ {3}(\w+) +(\d+) +[\d.]", re.MULTILINE)
_LOST = re.compile(r"\blost [\d.]+", re.IGNORECASE)
_ACK = b"ack"


def calls(summary: str) -> dict[str, int]:
    """The calls by name in the summary that perf writes, of all its threads together."""
    counted: dict[str, int] = {}
    for name, count in _ROW.findall(summary):
        counted[name] = counted.get(name, 0) + int(count)
    return counted


def has_lost(said: str) -> bool:
    """Whether perf says that its buffer overflowed, so that calls are missing."""
    return _LOST.search(said) is not None


class Perf(Tracer):
    """`perf trace record -p`, then `perf trace -s` of what it recorded."""

    name = "perf"
    _orders = _answers = -1

    def attach(self) -> None:
        """Record every task from now on. Raises Refused or ServerGone."""
        self._require_installed()
        self._require_descriptors()
        orders, answers = self._directory / "orders", self._directory / "answers"
        for pipe in (orders, answers):
            os.mkfifo(pipe)
        self._orders = os.open(orders, os.O_RDWR | os.O_NONBLOCK)
        self._answers = os.open(answers, os.O_RDWR | os.O_NONBLOCK)
        self._process = self._start(
            *alone(),
            *("perf", "trace", "record", "--no-buildid", "--delay=-1"),
            f"--control=fifo:{orders},{answers}",
            *("-o", str(self._directory / "record"), "-p", ",".join(map(str, self._pids))),
        )
        self._order("enable", "begin to count")

    def detach(self) -> dict[str, int]:
        """Stop recording; the calls that were made meanwhile. Raises Refused or ServerGone."""
        self._order("disable", "stop counting")
        os.write(self._orders, b"stop\n")
        self._require_end(self._process)
        summary = self._directory / "summary"
        process = self._start(
            *alone(),
            *("perf", "trace", "-s", "-i", str(self._directory / "record"), "-o", str(summary)),
        )
        self._require_end(process)
        if process.returncode != 0:
            raise Refused(f"perf does not read its own record: {self._messages()}")
        text = summary.read_text()
        if has_lost(text + self._said()):
            raise Refused(f"perf lost calls: {self._messages()}")
        return calls(text)

    def close(self) -> None:
        """Leave nothing behind."""
        super().close()
        for descriptor in (self._orders, self._answers):
            if descriptor >= 0:
                os.close(descriptor)

    def _require_descriptors(self) -> None:
        count = len(tasks(self._pids))
        needed = DESCRIPTORS_PER_TASK * (os.cpu_count() or 1) * count + DESCRIPTORS_OF_ITS_OWN
        granted = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if needed > granted:
            raise Refused(
                f"{count:,} tasks; perf needs {needed:,} open files for them, "
                f"and {granted:,} are granted"
            )

    def _order(self, order: str, meaning: str) -> None:
        """Give an order and wait until perf has obeyed. Raises Refused or ServerGone."""
        os.write(self._orders, f"{order}\n".encode())
        answered: list[bool] = []
        self._watch.until(
            lambda: self._is_answered(answered) or self._process.poll() is not None, ATTACH_S
        )
        if not answered:
            raise self._undone(self._process, meaning)

    def _is_answered(self, answered: list[bool]) -> bool:
        with suppress(BlockingIOError):
            if _ACK in os.read(self._answers, 64):
                answered.append(True)
        return bool(answered)


def alone() -> tuple[str, ...]:
    """As root perf mounts tracefs where it is not: then in mounts of its own, not in the host's."""
    return ("unshare", "--mount") if os.geteuid() == 0 else ()
