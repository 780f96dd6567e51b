"""The server as it is seen from beside: its processes, what they hold and use, and signals to them.

It is found by its listening socket (`harness.host.discovery`). Its /proc can be read, and signals
and prlimit(2) reach it: it runs under the same uid, or the suite has the capabilities for it
(harness/backends/confinement.py).
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.conformance.suite_results import Failed
from harness.contract.address import Address
from harness.host import discovery, procfs, sockets
from harness.host.cpu_accounting import clock_ns

POLL_S = 0.01
STOPPED_S = 2.0
KILLED_S = 5.0
DISCOVERIES = 10
# More than this beyond a sleep's length, and the host had no CPU for us: nor for the server.
LATENESS_USUAL_S = 0.02
PF_EXITING = 4  # linux/sched.h


def until(condition: Callable[[], bool], within_s: float, every_s: float = POLL_S) -> bool:
    """Whether the condition comes true in time.

    Time in which this process asked to run and was not let does not count: on a crowded host the
    server had no CPU either.
    """
    spent_s = 0.0
    while True:
        start = time.monotonic()
        if condition():
            return True
        if spent_s >= within_s:
            return False
        before_sleep = time.monotonic()
        time.sleep(every_s)
        end = time.monotonic()
        late_s = max(0.0, end - before_sleep - every_s - LATENESS_USUAL_S)
        spent_s += end - start - late_s


class Target:
    """One running server: the processes that were found to listen, and all that they fork."""

    def __init__(self, address: Address, found: discovery.Server) -> None:
        self.address = address
        self.found = found
        parents = {}
        for pid in found.pids:
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                text = Path(f"/proc/{pid}/stat").read_text()
                parents[pid] = procfs.process_stat(text).parent
        self._roots = [pid for pid, parent in parents.items() if parent not in parents]
        if not self._roots:
            raise ProcessLookupError(f"none of {found.pids} runs any more")

    @classmethod
    def find(cls, address: Address) -> Target | None:
        """The server that listens there; None when nobody does. Raises Failed."""
        for _ in range(DISCOVERIES):
            try:
                found = discovery.find(address)
                return None if found is None else cls(address, found)
            except (FileNotFoundError, ProcessLookupError):
                time.sleep(POLL_S)  # one ended while it was looked at
        raise Failed(f"{address.text}: its processes end faster than they can be looked at")

    @property
    def root(self) -> int:
        """The process that was started."""
        return self._roots[0]

    @property
    def pids(self) -> list[int]:
        """All processes that there are now; the first ones are in it even when they have ended."""
        return sorted(discovery.with_descendants(self._roots))

    def running(self) -> list[int]:
        """Those of its processes that have not ended."""
        return alive(self.pids)

    def listens(self) -> bool:
        """Whether it runs and its listening socket is there."""
        return bool(self.running()) and bool(sockets.listeners(self.address))

    def age_s(self) -> float:
        """Seconds since its first process was started."""
        stat = procfs.process_stat(_text(self.root, "stat"))
        started_s = stat.started_ticks / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s

    def descriptors(self) -> int:
        """Open descriptors of all processes."""
        return sum(len(_names(pid, "fd")) for pid in self.running())

    def threads(self) -> int:
        """Tasks of all processes."""
        return sum(len(_names(pid, "task")) for pid in self.running())

    def resident_bytes(self) -> int:
        """Resident memory, what processes share counted once: exact, unlike VmRSS (proc(5))."""
        return sum(_resident_bytes(pid) for pid in self.running())

    def cpu_share(self, over_s: float) -> float:
        """Its CPU seconds per second, for so long from now on."""
        start_ns, before = time.monotonic_ns(), _cpu_ns(self.pids)
        time.sleep(over_s)
        after = _cpu_ns(self.pids)
        used_ns = sum(now_ns - before.get(pid, 0) for pid, now_ns in after.items())
        return used_ns / (time.monotonic_ns() - start_ns)

    def open_connections(self) -> int:
        """Connections of which the server has not finished closing its end."""
        return sockets.still_open(self.address)

    def signal(self, number: int) -> None:
        """Send a signal to each of its processes."""
        send_signal(self.pids, number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped by SIGSTOP: whatever clients do meanwhile meets it all at once."""
        try:
            if not until(self._stopped, STOPPED_S):
                raise Failed("SIGSTOP did not stop the server")
            yield
        finally:
            self.thaw()

    def _stopped(self) -> bool:
        """Stop what runs, processes that were forked since the last call too; True if none did."""
        pids = [pid for pid in self.pids if not _is_stopped(pid)]
        send_signal(pids, signal.SIGSTOP)
        return not pids

    def thaw(self) -> None:
        """Let it go on, in whatever state it was left."""
        self.signal(signal.SIGCONT)

    @contextmanager
    def room_for(self, more: int) -> Iterator[None]:
        """Its open files limited so that each process can open so many more, and no more."""
        before = {}
        try:
            for pid in self.running():
                with suppress(ProcessLookupError):
                    limit, (soft, hard) = _limit_for(pid, more), _open_files(pid)
                    _limit_open_files(pid, min(soft, limit), hard)
                    before[pid] = (soft, hard)
            yield
        finally:
            for pid, limits in before.items():
                with suppress(ProcessLookupError):
                    _limit_open_files(pid, *limits)

    def kill(self) -> None:
        """End all of its processes at once, and wait until they are gone and nobody listens."""
        until(self._killed, KILLED_S)

    def _killed(self) -> bool:
        """Kill what runs, processes that were forked since the last call too; True if none did.

        A fork that outlives its parent is found by the listening socket that it holds, which would
        keep a successor from its port.
        """
        listeners = sockets.listeners(self.address)
        holders = sockets.holders(listeners) - {os.getpid()}
        pids = discovery.with_descendants({*self._roots, *holders})
        send_signal(pids, signal.SIGKILL)
        return not listeners and not alive(pids)


def alive(pids: Iterable[int]) -> list[int]:
    """Those of the processes that have not ended."""
    return [pid for pid in pids if _state(pid) not in "ZX"]


def send_signal(pids: Iterable[int], number: int) -> None:
    """Send a signal to each of the processes; one that has just ended is no matter."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _cpu_ns(pids: Iterable[int]) -> dict[int, int]:
    """CPU time of each process, with all its threads."""
    clocks = {pid: clock_ns(pid) for pid in pids}
    return {pid: ns for pid, ns in clocks.items() if ns is not None}


def _state(pid: int) -> str:
    """The process's state in one letter; X for one that is gone."""
    try:
        return procfs.process_stat(Path(f"/proc/{pid}/stat").read_text()).state
    except OSError:
        return "X"


def _is_stopped(pid: int) -> bool:
    """Whether all its threads are, or are over: one that was not let run since the signal takes one
    more connection before it notices (inet_csk_accept() looks at its queue first)."""
    with suppress(OSError):  # it ended
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return all(_state(int(task.name)) in "TZX" for task in tasks)
    return True


def _text(pid: int, name: str) -> str:
    """A file of a process in /proc. Raises Failed when it cannot be read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError as error:
        raise Failed(_unseen(error)) from None


def _resident_bytes(pid: int) -> int:
    """A process's share of resident memory, 0 of one that has ended. Raises Failed."""
    try:
        return procfs.sizes(Path(f"/proc/{pid}/smaps_rollup").read_text())["Pss"]
    except OSError as error:
        if _is_ending(pid):
            return 0
        raise Failed(_unseen(error)) from None


def _names(pid: int, directory: str) -> list[str]:
    """What is in a directory of a process in /proc, nothing of one that has ended. Raises Failed.

    A plain list: there may be 10,000 entries.
    """
    try:
        return os.listdir(f"/proc/{pid}/{directory}")  # noqa: PTH208
    except OSError as error:
        if _is_ending(pid):
            return []
        raise Failed(_unseen(error)) from None


def _is_ending(pid: int) -> bool:
    """Whether a process that cannot be read has ended, or is about to.

    Then it denies access before it is gone (ptrace_may_access in kernel/ptrace.c).
    """
    try:
        stat = procfs.process_stat(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return True
    return bool(stat.flags & PF_EXITING)


def _unseen(error: OSError) -> str:
    return f"{error.filename}: {os.strerror(error.errno or 0).lower()}"


def _open_files(pid: int) -> tuple[int, int]:
    """The soft and the hard limit of a process's open files, which the kernel always bounds.

    Raises ProcessLookupError where it has ended, Failed where its limits cannot be read.
    """
    if _is_ending(pid):
        raise ProcessLookupError(pid)
    try:
        text = Path(f"/proc/{pid}/limits").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    except OSError as error:
        raise Failed(_unseen(error)) from None
    soft, hard = procfs.limits(text)["Max open files"]
    assert soft is not None and hard is not None  # noqa: S101, PT018 (fs.nr_open bounds it)
    return soft, hard


def _limit_open_files(pid: int, soft: int, hard: int) -> None:
    """Limit the open files of a process. Raises Failed, or ProcessLookupError where it has ended.

    Only a process of the same user may do that: as another one, this process starts one.
    """
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        return
    except PermissionError:
        try:
            owner = Path(f"/proc/{pid}").stat()
        except FileNotFoundError:
            raise ProcessLookupError(pid) from None
    done = subprocess.run(
        ["prlimit", "--pid", str(pid), f"--nofile={soft}:{hard}"],
        capture_output=True,
        text=True,
        check=False,
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
    )
    if done.returncode != 0 and not _is_ending(pid):
        raise Failed(f"its open files cannot be limited: {done.stderr.strip()}")


def _limit_for(pid: int, more: int) -> int:
    """The RLIMIT_NOFILE with which a process can open exactly `more` descriptors.

    The limit is one more than the highest number that may be given out, and the lowest free number
    is given out first, so gaps below it count too.
    """
    used = {int(name) for name in _names(pid, "fd")}
    number = free = 0
    while free < more:
        free += number not in used
        number += 1
    return number
