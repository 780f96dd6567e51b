"""See the server from outside: its processes, what they hold and use, and signals to them.

The suite finds it by its listening socket (`harness.host.discovery`). It can read the server's
/proc, and signals and prlimit(2) reach the server. Both run under the same uid, or the suite has
the capabilities for it (harness/backends/confinement.py).
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
# If a sleep ends later than this, the suite got no CPU, and neither did the server.
LATENESS_USUAL_S = 0.02
PF_EXITING = 4  # linux/sched.h


def until(condition: Callable[[], bool], within_s: float, every_s: float = POLL_S) -> bool:
    """Return whether the condition becomes true within `within_s`.

    Time in which this process waited for a CPU does not count: on a crowded host the server had no
    CPU either.
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
    """One running server: the processes that listen, and all that they fork."""

    def __init__(self, address: Address, found: discovery.Server) -> None:
        self.address = address
        self.found = found
        parents = {}
        for pid in found.pids:
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                text = Path(f"/proc/{pid}/stat").read_text()
                parents[pid] = procfs.process_stat(text).parent
        self._roots = [pid for pid, parent in parents.items() if parent not in parents]
        if not self._roots:
            raise ProcessLookupError(f"none of {found.pids} runs any more")

    @classmethod
    def find(cls, address: Address) -> Target | None:
        """Find the server that listens there; None if no process does. Raises Failed."""
        for _ in range(DISCOVERIES):
            try:
                found = discovery.find(address)
                return None if found is None else cls(address, found)
            except (FileNotFoundError, ProcessLookupError):
                time.sleep(POLL_S)  # a process ended while the suite read it
        raise Failed(f"{address.text}: its processes end before the suite can read them")

    @property
    def root(self) -> int:
        """The process that was started."""
        return self._roots[0]

    @property
    def pids(self) -> list[int]:
        """All current processes, and the first ones even if they have ended."""
        return sorted(discovery.with_descendants(self._roots))

    def running(self) -> list[int]:
        """Return its processes that have not ended."""
        return alive(self.pids)

    def listens(self) -> bool:
        """Return whether it runs and its listening socket exists."""
        return bool(self.running()) and bool(sockets.listeners(self.address))

    def age_s(self) -> float:
        """Return the time in s since its first process started."""
        stat = procfs.process_stat(_text(self.root, "stat"))
        started_s = stat.started_ticks / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s

    def descriptors(self) -> int:
        """Count the open descriptors of all processes."""
        return sum(len(_names(pid, "fd")) for pid in self.running())

    def threads(self) -> int:
        """Count the tasks of all processes."""
        return sum(len(_names(pid, "task")) for pid in self.running())

    def resident_bytes(self) -> int:
        """Return resident memory in bytes, shared pages once: exact, unlike VmRSS (proc(5))."""
        return sum(_resident_bytes(pid) for pid in self.running())

    def cpu_share(self, over_s: float) -> float:
        """Measure its CPU seconds per second for the next `over_s` seconds."""
        start_ns, before = time.monotonic_ns(), _cpu_ns(self.pids)
        time.sleep(over_s)
        after = _cpu_ns(self.pids)
        used_ns = sum(now_ns - before.get(pid, 0) for pid, now_ns in after.items())
        return used_ns / (time.monotonic_ns() - start_ns)

    def open_connections(self) -> int:
        """Count the connections whose end at the server is not closed yet."""
        return sockets.still_open(self.address)

    def signal(self, number: int) -> None:
        """Send a signal to each of its processes."""
        send_signal(self.pids, number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the server by SIGSTOP; at its end it gets all that clients did meanwhile at once.

        Raises Failed.
        """
        try:
            if not until(self._stopped, STOPPED_S):
                raise Failed("SIGSTOP did not stop the server")
            yield
        finally:
            self.thaw()

    def _stopped(self) -> bool:
        """Stop all processes, also those forked since the last call; return whether none ran."""
        pids = [pid for pid in self.pids if not _is_stopped(pid)]
        send_signal(pids, signal.SIGSTOP)
        return not pids

    def thaw(self) -> None:
        """Let it continue, whether it was stopped or not."""
        self.signal(signal.SIGCONT)

    @contextmanager
    def room_for(self, more: int) -> Iterator[None]:
        """Limit its open files so that each process can open exactly `more` descriptors.

        Raises Failed.
        """
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
        """Kill all of its processes, and wait until they are gone and no process listens."""
        until(self._killed, KILLED_S)

    def _killed(self) -> bool:
        """Kill all processes, also those forked since the last call; return whether none ran.

        The suite finds a fork that outlives its parent by its listening socket. That socket would
        keep the next server from the port.
        """
        listeners = sockets.listeners(self.address)
        holders = sockets.holders(listeners) - {os.getpid()}
        pids = discovery.with_descendants({*self._roots, *holders})
        send_signal(pids, signal.SIGKILL)
        return not listeners and not alive(pids)


def alive(pids: Iterable[int]) -> list[int]:
    """Return the processes that have not ended."""
    return [pid for pid in pids if _state(pid) not in "ZX"]


def send_signal(pids: Iterable[int], number: int) -> None:
    """Send a signal to each of the processes; skip those that have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _cpu_ns(pids: Iterable[int]) -> dict[int, int]:
    """Return the CPU time of each process in ns, with all its threads."""
    clocks = {pid: clock_ns(pid) for pid in pids}
    return {pid: ns for pid, ns in clocks.items() if ns is not None}


def _state(pid: int) -> str:
    """Return the process's state as one letter; X if it does not exist."""
    try:
        return procfs.process_stat(Path(f"/proc/{pid}/stat").read_text()).state
    except OSError:
        return "X"


def _is_stopped(pid: int) -> bool:
    """Return whether all its threads are stopped or have ended.

    A thread that has not run since the signal accepts one more connection before it stops
    (inet_csk_accept() looks at its queue first).
    """
    with suppress(OSError):  # it ended
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return all(_state(int(task.name)) in "TZX" for task in tasks)
    return True


def _text(pid: int, name: str) -> str:
    """Read a file of a process in /proc. Raises Failed if it cannot be read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError as error:
        raise Failed(_unseen(error)) from None


def _resident_bytes(pid: int) -> int:
    """Return a process's share of resident memory in bytes, 0 if it has ended. Raises Failed."""
    try:
        return procfs.sizes(Path(f"/proc/{pid}/smaps_rollup").read_text())["Pss"]
    except OSError as error:
        if _is_ending(pid):
            return 0
        raise Failed(_unseen(error)) from None


def _names(pid: int, directory: str) -> list[str]:
    """List a directory of a process in /proc; empty if the process has ended. Raises Failed.

    `os.listdir` returns a plain list: there may be 10,000 entries.
    """
    try:
        return os.listdir(f"/proc/{pid}/{directory}")  # noqa: PTH208
    except OSError as error:
        if _is_ending(pid):
            return []
        raise Failed(_unseen(error)) from None


def _is_ending(pid: int) -> bool:
    """Return whether a process that cannot be read has ended or is ending.

    The kernel denies access to an ending process (ptrace_may_access in kernel/ptrace.c).
    """
    try:
        stat = procfs.process_stat(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return True
    return bool(stat.flags & PF_EXITING)


def _unseen(error: OSError) -> str:
    return f"{error.filename}: {os.strerror(error.errno or 0).lower()}"


def _open_files(pid: int) -> tuple[int, int]:
    """Return the soft and the hard limit of a process's open files; the kernel bounds both.

    Raises ProcessLookupError if it has ended, Failed if its limits cannot be read.
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
    """Limit the open files of a process. Raises Failed, or ProcessLookupError if it has ended.

    Only a process of the same user may do that. For another user, this process starts one.
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
        raise Failed(f"prlimit could not limit the server's open files: {done.stderr.strip()}")


def _limit_for(pid: int, more: int) -> int:
    """Return the RLIMIT_NOFILE with which a process can open exactly `more` descriptors.

    The limit is one more than the highest number that the kernel may use. The kernel uses the
    lowest free number first, so gaps below the limit count too.
    """
    used = {int(name) for name in _names(pid, "fd")}
    number = free = 0
    while free < more:
        free += number not in used
        number += 1
    return number
