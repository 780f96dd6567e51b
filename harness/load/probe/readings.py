"""What the server's processes and its CPUs did, read at the edges of a window.

Rule 1: an edge costs a few reads, whatever the server is: they happen as the window opens and
closes. What costs a read per thread (context switches) is a sample of its own, outside the window.
Rule 2: every reading carries its own CLOCK_MONOTONIC stamp. A share is a difference of readings
over the difference of their own stamps, never over the window that they were meant for.
Rule 3: a file that this kernel does not show (masked, or a /proc of processes only) leaves its
readings out. What is missing then is for the gates to say; it is no reason to measure nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.contract.address import Address
from harness.contract.trial_spec import Tree
from harness.host import procfs, server_processes, sockets
from harness.host.cpu_accounting import Charged, Moment, clock_ns, moment
from harness.host.discovery import Server, task_files
from harness.host.server_processes import Family, Processes
from harness.host.wait_budget import Reading
from harness.load.probe import memory_use as memory

# Waits for a CPU are read per task inside the edge, hence only for servers of few threads.
RUN_WAIT_TASKS_MAX = 64

TCP_NAMES = ("RetransSegs", "AttemptFails", "EstabResets", "OutRsts")
TCP_EXT_NAMES = (
    "ListenOverflows",
    "ListenDrops",
    "TCPTimeouts",
    "TCPSynRetrans",
    "TCPReqQFullDrop",
    "TCPReqQFullDoCookies",
    "SyncookiesSent",
    "TCPBacklogDrop",
    "TCPRcvQDrop",
    "TCPAbortOnData",
    "TCPAbortOnTimeout",
    "TCPAbortOnMemory",
    "TCPMemoryPressures",
    "TCPTimeWaitOverflow",
)


class ServerGone(Exception):
    """The server's processes or its listening socket are no more. The message says what is seen."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Cumulative readings at one instant; two of them make the figures of a window."""

    stamp_ns: int
    server_cpu_ns: int
    load_cpu_ns: int
    user_ticks: int
    system_ticks: int
    threads: int
    restarts: int
    run_wait_ns: int | None
    load_wait_ns: int
    cpu_ticks: dict[int, dict[str, int]]
    tcp: dict[str, int]
    pressure_us: int | None
    realtime_offset_ns: int


@dataclass(frozen=True, slots=True)
class TaskSample:
    """Context switches so far, summed over all tasks of the server, and where these may run."""

    stamp_ns: int
    voluntary: int
    involuntary: int
    cpus: frozenset[int] = frozenset()


class Probe:
    """Reads the server's processes. Made once the server is ready, kept for the whole trial."""

    def __init__(
        self,
        address: Address,
        pids: Iterable[int],
        tree: Tree = "server",
        keeper: int | None = None,
    ) -> None:
        self._address = address
        self._tree = tree
        self._keeper = keeper
        self.pids = tuple(sorted(pids))
        self.cpus: frozenset[int] = frozenset()
        self._has_group = False
        self._cpu_ns: dict[int, int] = {}
        self._mains = _mains(self.pids)
        self.load_pids: tuple[int, ...] = (os.getpid(),)
        self._slab_baseline_bytes = memory.slab_bytes()
        self._slab_at_rest_bytes = self._slab_baseline_bytes

    @classmethod
    def of(cls, address: Address, server: Server, tree: Tree) -> Probe:
        """The probe of a server that was found."""
        probe = cls(address, server.pids, tree, server.keeper)
        probe.cpus = frozenset(server.cpus)
        return probe

    def check_alive(self) -> None:
        """Raise ServerGone when no process of the server runs, or nobody listens any more."""
        if not any(_runs(pid) for pid in self.pids):
            names = ", ".join(str(pid) for pid in self.pids)
            self.refresh()  # those that were known may have been replaced
            if not any(_runs(pid) for pid in self.pids):
                raise ServerGone(f"its process is gone (pid {names})")
        if not sockets.listeners(self._address):
            raise ServerGone(f"nobody listens on {self._address.text} any more")

    def refresh(self) -> None:
        """Take in what the server forked since: a process per connection, a worker replaced."""
        self.pids = tuple(sorted(self._family(server_processes.processes()).pids))

    def account(self, charge: Callable[[], Charged], echoes: int) -> Moment:
        """Read the CPU time of the whole family now, beside what the harness reads by `charge`."""
        found = moment(self._family, charge, echoes, has_group=self._has_group)
        self._has_group = found.charged.cpu_ns is not None
        self.pids = tuple(sorted(found.pids))
        return found

    def edge(self, *, opens: bool) -> Edge:
        """Read everything that belongs to one edge of a window.

        For a process's `stat` the kernel looks at each thread (do_task_stat in fs/proc/array.c):
        3 to 17 ms for 10,000. All that time the engine waits for its CPU. So `stat` is read before
        the rest where the window opens, and after it where the window closes. User and system time
        are of that longer span: they are shares of each other.
        """
        stats = self._stats() if opens else {}
        stamp_ns = time.monotonic_ns()
        server_cpu_ns = sum(self._server_cpu_ns(pid) for pid in self.pids)
        load_cpu_ns = sum(clock_ns(pid) or 0 for pid in self.load_pids)
        load_wait_ns = _run_wait_ns(self.load_pids)
        realtime_offset_ns = _realtime_offset_ns()
        cpu_ticks = procfs.cpu_ticks(_shown("/proc/stat"))
        tcp = _tcp_counters()
        pressure_us = _pressure_us()
        stats = stats or self._stats()
        own = [stat for pid in self.pids if (stat := stats.get(pid)) is not None]
        threads = sum(stat.threads for stat in own)
        return Edge(
            stamp_ns=stamp_ns,
            server_cpu_ns=server_cpu_ns,
            load_cpu_ns=load_cpu_ns,
            user_ticks=sum(stat.user_ticks for stat in own),
            system_ticks=sum(stat.system_ticks for stat in own),
            threads=threads,
            restarts=self._restarts(stats),
            run_wait_ns=_run_wait_ns(self.pids) if threads <= RUN_WAIT_TASKS_MAX else None,
            load_wait_ns=load_wait_ns,
            cpu_ticks=cpu_ticks,
            tcp=tcp,
            pressure_us=pressure_us,
            realtime_offset_ns=realtime_offset_ns,
        )

    def _stats(self) -> dict[int, procfs.ProcessStat]:
        """{pid: stat} of the server's processes that are there, ended mains included."""
        wanted = {*self.pids, *self._mains}
        return {pid: stat for pid in wanted if (stat := _stat(pid)) is not None}

    def tasks(self) -> TaskSample:
        """Sum the context switches of all tasks: one read per task, so never inside a window."""
        started_ns = time.monotonic_ns()
        voluntary = involuntary = 0
        cpus = set()
        for pid in self.pids:
            for status in task_files(pid, "status"):
                one_voluntary, one_involuntary = procfs.switches(status)
                voluntary += one_voluntary
                involuntary += one_involuntary
                cpus.add(procfs.allowed_cpus(status))
        allowed = frozenset(cpu for text in cpus for cpu in procfs.cpu_list(text.decode()))
        return TaskSample(started_ns, voluntary, involuntary, allowed)

    def memory(self) -> memory.Memory:
        """Measure the server's memory now; slab counts from the moment this probe was made."""
        return memory.read(self.pids, self._slab_baseline_bytes)

    def complete(self, reading: Reading) -> Reading:
        """The harness's reading with what this process knows: how long the load waited for a CPU,
        and the family's clocks where no control group counts the server's time."""
        server_ns = reading.server_ns
        if server_ns is None:
            self.refresh()
            for pid in self.pids:
                self._server_cpu_ns(pid)
            server_ns = sum(self._cpu_ns.values())  # those of processes that ended, too
        return replace(reading, server_ns=server_ns, load_wait_ns=_run_wait_ns(self.load_pids))

    def rest(self) -> None:
        """Others have their turns until `resume`: what they do to the slab is not the server's."""
        self._slab_at_rest_bytes = memory.slab_bytes()

    def resume(self) -> None:
        """It is this server's turn again."""
        now_bytes, before_bytes = memory.slab_bytes(), self._slab_at_rest_bytes
        if self._slab_baseline_bytes is not None and now_bytes and before_bytes:
            self._slab_baseline_bytes += now_bytes - before_bytes

    def _family(self, seen: Processes) -> Family:
        return server_processes.of(seen, self._tree, self.pids, self._keeper)

    def established(self) -> int:
        """How many connections the kernel has ESTABLISHED on the server's port."""
        return sockets.established(self._address)

    def still_open(self) -> int:
        """How many connections the server's end has not finished closing."""
        return sockets.still_open(self._address)

    def _server_cpu_ns(self, pid: int) -> int:
        """The process's run time; its last known one when it ended meanwhile."""
        now_ns = clock_ns(pid)
        if now_ns is not None:
            self._cpu_ns[pid] = now_ns
        return self._cpu_ns.get(pid, 0)

    def _restarts(self, stats: Mapping[int, procfs.ProcessStat]) -> int:
        """Main processes that ended, or whose PID is another process's, since the server was ready.

        Those that a main process forks come and go with connections; the main ones have no cause.
        """
        same = [
            pid
            for pid, started_ticks in self._mains.items()
            if (stat := stats.get(pid)) is not None
            and stat.state not in "ZX"
            and stat.started_ticks == started_ticks
        ]
        return len(self._mains) - len(same)


def _mains(pids: Iterable[int]) -> dict[int, int]:
    """{pid: start time} of the process that was started; empty where none runs."""
    stats = {pid: stat for pid in pids if (stat := _stat(pid)) is not None}
    if not stats:
        return {}
    main = server_processes.main_of(stats, stats.keys())
    return {main: stats[main].started_ticks}


def _run_wait_ns(pids: Iterable[int]) -> int:
    """How long all tasks of the processes were runnable and waited for a CPU."""
    return sum(
        int(schedstat.split()[1]) for pid in pids for schedstat in task_files(pid, "schedstat")
    )


def _stat(pid: int) -> procfs.ProcessStat | None:
    try:
        return procfs.process_stat(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return None


def _runs(pid: int) -> bool:
    stat = _stat(pid)
    return stat is not None and stat.state not in "ZX"


def _tcp_counters() -> dict[str, int]:
    counters = procfs.counters(_shown("/proc/net/snmp")).get("Tcp", {})
    extended = procfs.counters(_shown("/proc/net/netstat")).get("TcpExt", {})
    found = {name: counters[name] for name in TCP_NAMES if name in counters}
    found |= {name: extended[name] for name in TCP_EXT_NAMES if name in extended}
    if softnet := _shown("/proc/net/softnet_stat"):
        found["softnet_dropped"] = procfs.softnet_dropped(softnet)
    return found


def _shown(path: str) -> str:
    """The text of a file; empty where there is none for this process."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _realtime_offset_ns() -> int:
    """CLOCK_REALTIME − CLOCK_MONOTONIC, from the tightest of three pairs of readings: a process
    that loses its CPU between two of them would look like a clock that was set."""
    readings = []
    for _ in range(3):
        before_ns, real_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after_ns - before_ns, real_ns - (before_ns + after_ns) // 2))
    return min(readings)[1]


def _pressure_us() -> int | None:
    """Time in which some task of the host waited for a CPU; None in a kernel without PSI."""
    text = _shown("/proc/pressure/cpu")
    return procfs.pressure_some_us(text) if text else None
