"""Read the CPU time that the kernel charged to a control group, and to all tasks on some CPUs.

Each hierarchy is looked up by itself: hybrid hosts mount version 1 controllers and a version 2
tree. Version 2 counts every group's CPU time (`usage_usec` in `cpu.stat`) even if its `cpu`
controller is off (Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files").

The kernel adds a running task's time at the scheduler's next tick or switch (update_curr() in
kernel/sched/fair.c). So if a group's counter does not change for longer than a tick, the group does
not run and its counter is exact.
"""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.host import cgroups, procfs, server_processes
from harness.host.cgroups import ROOT
from harness.host.cpu_accounting import Charged, clock_ns
from harness.host.wait_budget import Reading

V1 = "cgroup-v1"
V2 = "cgroup-v2"
# The variable that names the only source to use, for comparing sources.
SOURCE_VARIABLE = "C10K_CPU_SOURCE"
PER_CPU = "cpuacct.usage_percpu"
CLOCK_MONOTONIC_COARSE = 6  # linux/time.h; its resolution is one tick (clock_getres(2))
SETTLE_MAX_S = 0.05
JOIN_S = 10.0
MICROSECOND_NS = 1_000
USER_HZ = os.sysconf("SC_CLK_TCK")
STAT_TICK_NS = 1_000_000_000 // USER_HZ
# The columns of /proc/stat (proc_stat(5)) with the time of tasks, and those that may have some.
TASK_COLUMNS = ("user", "nice", "system")
SOFTIRQ_COLUMNS = ("irq", "softirq")


@dataclass(frozen=True, slots=True)
class CpuGroup:
    """A control group with a readable CPU time."""

    directory: Path
    source: str

    @property
    def members(self) -> Path:
        """The file that a process writes `0` to in order to join."""
        return self.directory / "cgroup.procs"

    def cpu_ns(self) -> int:
        """CPU time of every process that ever ran in it. Raises OSError when the group is gone."""
        if self.source == V1:
            return int((self.directory / "cpuacct.usage").read_text())
        for line in (self.directory / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) * MICROSECOND_NS
        raise OSError(f"no usage_usec in {self.directory / 'cpu.stat'}")

    def remove(self) -> bool:
        """Remove it, and the groups that a server made in it; False while a process runs there."""
        for directory, _, _ in os.walk(self.directory, topdown=False):
            try:
                Path(directory).rmdir()
            except OSError:
                return not self.directory.exists()
        return True

    def outside_ns(self, cpus: Iterable[int]) -> int | None:
        """The part of `cpu_ns` on other CPUs than these; None in version 2, which lacks it."""
        if self.source != V1:
            return None
        table = _by_cpuacct((self.directory / PER_CPU).read_text())
        return sum(table.values()) - sum(table[cpu] for cpu in cpus)

    @property
    def exact_ns(self) -> int:
        """Largest error of `cpu_ns`: the unit of its counter, less one."""
        return 0 if self.source == V1 else MICROSECOND_NS


def of_container(container: str, root: Path = ROOT) -> CpuGroup | None:
    """The group of the container with this full id; None if none is readable."""
    bases = ((V1, root / "cpuacct"), (V1, root / "cpu,cpuacct"), (V2, root), (V2, root / "unified"))
    for source, base in bases:
        directory = cgroups.find(base, container) if _is_wanted(source) else None
        if directory is not None:
            group = CpuGroup(directory, source)
            try:
                group.cpu_ns()
            except (OSError, ValueError):
                continue
            return group
    return None


def make(name: str, root: Path = ROOT, proc: Path = Path("/proc/self/cgroup")) -> CpuGroup | None:
    """Make a group below this process's own that only counts; None if the kernel refuses.

    Version 1 only where `cpuacct` is a hierarchy of its own. Version 2 only where the group gets no
    `cpu` controller: with it the scheduler would divide the CPU between groups.
    """
    for source, parent in _parents(root, proc.read_text()):
        directory = parent / name
        try:
            directory.mkdir()
        except OSError:
            continue
        group = CpuGroup(directory, source)
        try:
            group.cpu_ns()
            if _may_join(group):
                return group
        except (OSError, ValueError):
            pass
        directory.rmdir()
    return None


_joinable: dict[Path, bool] = {}


def _may_join(group: CpuGroup) -> bool:
    """Whether a process of ours may move to the group.

    Version 2 also needs rights above it, and refuses processes in some kinds of groups. All groups
    of one parent have the same answer.
    """
    parent = group.directory.parent
    if parent not in _joinable:
        join = ["sh", "-c", 'echo 0 > "$1"', "sh", str(group.members)]
        done = subprocess.run(join, capture_output=True, check=False, timeout=JOIN_S)
        _joinable[parent] = done.returncode == 0
    return _joinable[parent]


def _parents(root: Path, own: str) -> Iterable[tuple[str, Path]]:
    """Where groups can be made: below the groups of this process."""
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        below = path.lstrip("/")
        if controllers == "cpuacct" and _is_wanted(V1):
            yield V1, root / "cpuacct" / below
        elif not controllers and _is_wanted(V2):
            base = root / "unified" if (root / "unified").is_dir() else root
            parent = base / below
            if "cpu" not in _words(parent / "cgroup.subtree_control"):
                yield V2, parent


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _is_wanted(source: str) -> bool:
    return os.environ.get(SOURCE_VARIABLE, source) == source


@dataclass(frozen=True, slots=True)
class Busy:
    """How long some CPUs, and all CPUs of the host, have run tasks so far."""

    busy_ns: int
    host_ns: int
    source: str
    exact_ns: int
    cpus: int


def busy(cpus: Iterable[int], root: Path = ROOT, proc: Path = Path("/proc")) -> Busy | None:
    """Run time of all tasks on these CPUs, from the best source here; None without a source."""
    wanted = tuple(cpus)
    for source, parse, path in (
        ("cpuacct", _by_cpuacct, root / "cpuacct" / PER_CPU),
        ("cpuacct", _by_cpuacct, root / "cpu,cpuacct" / PER_CPU),
    ):
        try:
            table = parse(path.read_text())
            busy_ns = sum(table[cpu] for cpu in wanted)
            return Busy(busy_ns, sum(table.values()), source, 0, len(table))
        except (OSError, ValueError, KeyError):
            continue
    try:
        return _by_ticks((proc / "stat").read_text(), wanted)
    except (OSError, ValueError, KeyError):
        return None


def _by_cpuacct(text: str) -> dict[int, int]:
    """Parse version 1: the root of its hierarchy counts the run time of all tasks, per CPU."""
    return dict(enumerate(int(value) for value in text.split()))


def _by_ticks(text: str, cpus: tuple[int, ...]) -> Busy:
    """Sum /proc/stat, which the kernel samples at each tick, in whole units of 10 ms per column.

    A kernel with CONFIG_IRQ_TIME_ACCOUNTING subtracts interrupts from the run time of tasks. Other
    kernels include interrupts during the task, such as the softirq inside its send(). A time of
    hard interrupts above 0 identifies the first kind: only that one measures it.
    """
    table = procfs.cpu_ticks(text)
    measures_irq = any(ticks.get("irq", 0) for ticks in table.values())
    columns = TASK_COLUMNS if measures_irq else (*TASK_COLUMNS, *SOFTIRQ_COLUMNS)
    found = {cpu: sum(ticks.get(name, 0) for name in columns) for cpu, ticks in table.items()}
    return Busy(
        sum(found[cpu] for cpu in cpus) * STAT_TICK_NS,
        sum(found.values()) * STAT_TICK_NS,
        "stat",
        round(math.sqrt(len(columns) * len(cpus)) * STAT_TICK_NS),
        len(table),
    )


def reading(own_ns: int | None, cpus: Iterable[int]) -> Reading:
    """CPU time so far: of the server (`own_ns`), of its CPUs, and the time stolen from those.

    It is read at once and not at an idle moment: it serves waits, in which the server may be busy.
    """
    wanted = tuple(cpus)
    on_cpus = busy(wanted)
    return Reading(
        stamp_ns=time.monotonic_ns(),
        cpus=len(wanted),
        server_ns=own_ns,
        busy_ns=on_cpus.busy_ns if on_cpus else None,
        steal_ns=_stolen_ns(wanted),
        exact_ns=on_cpus.exact_ns if on_cpus else 0,
    )


def group_ns(group: CpuGroup | None) -> int | None:
    """CPU time of a group in ns; None without a group, or if it is gone."""
    try:
        return group.cpu_ns() if group is not None else None
    except (OSError, ValueError):  # the group ended with its server
        return None


def below_ns(pid: int, seen: server_processes.Processes) -> int:
    """CPU time in ns of a process and all its descendants; ended children count in 10 ms ticks."""
    members = server_processes.descendants(seen, [pid]) & seen.keys()
    collected = sum(seen[one].collected_ticks for one in members)
    return sum(clock_ns(one) or 0 for one in members) + collected * STAT_TICK_NS


def _stolen_ns(cpus: tuple[int, ...], proc: Path = Path("/proc")) -> int | None:
    try:
        table = procfs.cpu_ticks((proc / "stat").read_text())
        return sum(table[cpu]["steal"] for cpu in cpus) * STAT_TICK_NS
    except (OSError, ValueError, KeyError):
        return None


Accounts = tuple[int | None, Busy | None]


@dataclass(frozen=True, slots=True)
class _Still:
    """A counter's value, and the time (CLOCK_MONOTONIC) since which it has not changed."""

    value: int
    since_s: float


class Accountant:
    """Read servers' accounts at idle moments. A backend has one for all its trials.

    A counter that stayed the same for longer than a tick is exact. Side by side, a server is idle
    from the end of its turn, and its CPUs are idle between two turns. So the accountant
    remembers its last readings, and waits only where something ran since.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._tick_s = time.clock_getres(CLOCK_MONOTONIC_COARSE)
        self._known: dict[object, _Still] = {}
        self._containers: dict[str, CpuGroup] = {}

    def of_container(self, container: str) -> CpuGroup | None:
        """The group of the container with this full id. It is searched once per container."""
        if container not in self._containers:
            group = of_container(container, self._root)
            if group is None:
                return None
            self._containers[container] = group
        return self._containers[container]

    def settled(self, group: CpuGroup | None, cpus: Iterable[int]) -> Charged:
        """Wait until neither group nor CPUs run, at most `SETTLE_MAX_S`, and read both."""
        wanted = tuple(cpus)
        tick_ns = round(self._tick_s * 1e9) * len(wanted)
        (now_ns, on_cpus), is_own_still, is_still = self._settle(group, wanted)
        charged = Charged()
        if group is not None and now_ns is not None:
            charged = replace(
                charged,
                cpu_ns=now_ns,
                cpu_source=group.source,
                cpu_exact_ns=group.exact_ns + (0 if is_own_still else tick_ns),
                cpu_outside_ns=_outside_ns(group, wanted),
            )
        if on_cpus is not None:
            charged = replace(
                charged,
                busy_ns=on_cpus.busy_ns,
                busy_source=on_cpus.source,
                busy_exact_ns=on_cpus.exact_ns + (0 if is_still else tick_ns),
                host_busy_ns=on_cpus.host_ns,
                # Load and harness run on the other CPUs at this moment
                host_exact_ns=on_cpus.exact_ns
                + round(math.sqrt(on_cpus.cpus) * self._tick_s * 1e9),
            )
        return charged

    def _settle(self, group: CpuGroup | None, cpus: tuple[int, ...]) -> tuple[Accounts, bool, bool]:
        """Return the last readings, and whether group and CPUs were still for longer than a tick.

        After one wait only the group must be still: other processes may use the CPUs all the time.
        Without a group the CPUs must be still, and a counter in units of 10 ms needs that wait.
        """
        deadline_s = time.monotonic() + SETTLE_MAX_S
        has_waited = False
        while True:
            asked_s = time.monotonic()
            own_ns, on_cpus = group_ns(group), busy(cpus, self._root)
            is_still = on_cpus is None or self._is_still(cpus, on_cpus.busy_ns, asked_s)
            is_own_still = (
                is_still
                if group is None or own_ns is None
                else (self._is_still(group.directory, own_ns, asked_s))
            )
            is_done = is_own_still and (has_waited or (is_still and own_ns is not None))
            if is_done or time.monotonic() >= deadline_s:
                return (own_ns, on_cpus), is_own_still, is_still
            time.sleep(self._tick_s * 1.25)
            has_waited = True

    def _is_still(self, counter: object, value: int, asked_s: float) -> bool:
        """Add a reading; return whether the counter has had this value for longer than a tick."""
        known = self._known.get(counter)
        if known is None or known.value != value:
            known = self._known[counter] = _Still(value, time.monotonic())
        return asked_s - known.since_s > self._tick_s


def _outside_ns(group: CpuGroup, cpus: tuple[int, ...]) -> int | None:
    try:
        return group.outside_ns(cpus)
    except (OSError, ValueError, KeyError):
        return None
