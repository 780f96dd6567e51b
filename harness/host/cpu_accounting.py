"""Measure the CPU time that the kernel charged to the server between idle moments.

A cell's traffic runs in turns. The server is idle before and after each. At these moments

- the harness reads the server's control group, where it has its own. The kernel charges it with
  every process in it, ended ones included, up to the last tick of a running task (4 ms at
  HZ = 250). A reading at an idle moment has no such error;
- this process sums the CPU clocks of the server's family, and the times of its ended children
  (`cutime` and `cstime` in proc(5)), which come in ticks of 10 ms;
- the harness reads how long the server's CPUs, and all CPUs of the host, ran any task.

Rule 1: the control group supplies the figure where there is one; otherwise the sum of the family.
Rule 2: a span lasts from one idle moment to the next and holds all traffic in between. The time
between two turns is in no span.
Rule 3: each source states its error. The gates compare the sources, and find time that none has.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.host import procfs, server_processes
from harness.host.server_processes import Family, Processes

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# The kernel rounds utime and stime of ended children down to whole ticks, each separately.
COLLECTED_EXACT_NS = 2 * TICK_NS
PROCESSES = "processes"
READS_MAX = 5

Task = tuple[int, int]  # pid and start time: unique to one process


@dataclass(frozen=True, slots=True)
class Charged:
    """The kernel's accounts at an idle moment, read by the harness; None: not available.

    cpu_ns: the server's control group. cpu_outside_ns: the part of it on CPUs that are not the
    server's. busy_ns: all tasks on the server's CPUs. host_busy_ns: all tasks on all CPUs.
    `*_exact_ns` is the largest error of a reading, `*_source` its source.
    """

    cpu_ns: int | None = None
    cpu_source: str | None = None
    cpu_exact_ns: int = 0
    cpu_outside_ns: int | None = None
    busy_ns: int | None = None
    busy_source: str | None = None
    busy_exact_ns: int = 0
    host_busy_ns: int | None = None
    host_exact_ns: int = 0

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any]) -> Charged:
        """Build it from the harness's reply, which is an empty object if nothing was read."""
        return cls(**reply)


@dataclass(frozen=True, slots=True)
class Other:
    """A process outside the server: its CPU time, what it collected, and its parent."""

    clock_ns: int
    collected_ns: int
    parent: Task


@dataclass(frozen=True, slots=True)
class Moment:
    """All accounts at one idle moment.

    `pids` are the server's processes, `collected` {process: ticks of its ended children}; `others`
    all other processes, None where they are not visible or not needed.
    """

    stamp_ns: int
    echoes: int
    charged: Charged
    family_ns: int
    pids: frozenset[int] = frozenset()
    collected: Mapping[Task, int] = field(default_factory=dict)
    others: Mapping[Task, Other] | None = None
    loses_children: bool = False


def clock_ns(pid: int) -> int | None:
    """The process's CPU time in ns, including its ended threads; None: no such process.

    CPUCLOCK_SCHED without the per-thread bit (linux/posix-timers.h, clock_getcpuclockid(3)). It is
    the sum of all /proc/PID/task/*/schedstat in one system call instead of 10,000 file reads, and
    reading it needs no permission.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def moment(
    find: Callable[[Processes], Family],
    charge: Callable[[], Charged],
    echoes: int,
    *,
    has_group: bool,
) -> Moment:
    """Read the family's accounts, and have the harness read the kernel's by `charge`.

    `find` picks the family. It is read once the server is idle. Other processes keep running, so
    their clocks are read at once, close to the harness's reading. Where the server `has_group`, no
    figure depends on either: the others are not read, and the family is read once.
    """
    before = {} if has_group else server_processes.processes()
    charged = charge()
    others = None
    if charged.cpu_ns is None and server_processes.is_host_in_view(before):
        others = _others(before, find(before))
    stamp_ns = time.monotonic_ns()
    members, clocks_ns, collected = _at_one_moment(find, 1 if has_group else READS_MAX)
    return Moment(
        stamp_ns=stamp_ns,
        echoes=echoes,
        charged=charged,
        family_ns=clocks_ns + sum(collected.values()) * TICK_NS,
        pids=members.pids,
        collected=collected,
        others=others,
        loses_children=charged.cpu_ns is None and _loses_children(members.pids),
    )


def _at_one_moment(
    find: Callable[[Processes], Family], reads_max: int
) -> tuple[Family, int, dict[Task, int]]:
    """The family, its clocks in ns, and the ticks of ended children.

    A child that a parent collects between two reads would be in neither figure, or in both. So the
    reads are repeated, at most `reads_max` times, until no member came, ended or collected a child
    in between.
    """
    seen = server_processes.processes()
    for read in range(1, reads_max + 1):
        members = find(seen)
        collected = _collected(seen, members)
        clocks_ns = sum(clock_ns(pid) or 0 for pid in members.pids)
        if read == reads_max:
            break
        seen = server_processes.processes()
        if find(seen).pids == members.pids and _collected(seen, members) == collected:
            break
    return members, clocks_ns, collected


def _collected(seen: Processes, members: Family) -> dict[Task, int]:
    known = (pid for pid in members.collectors if pid in seen)
    return {(pid, seen[pid].started_ticks): seen[pid].collected_ticks for pid in known}


def account(turns: Sequence[tuple[Moment, Moment]], cpus: int) -> dict[str, Any] | None:
    """Build the record's `server.charged`: the sums of all turns; None without turns.

    `cpus` is the number of the server's CPUs.
    """
    if not turns:
        return None

    def total(name: str) -> int:
        return sum(getattr(last, name) - getattr(first, name) for first, last in turns)

    moments = [one for turn in turns for one in turn]
    group_ns = _grown([(a.charged.cpu_ns, b.charged.cpu_ns) for a, b in turns])
    busy_ns = _grown([(a.charged.busy_ns, b.charged.busy_ns) for a, b in turns])
    family_ns, family_exact_ns = total("family_ns"), _added(_inexact_ns(a, b) for a, b in turns)
    has_group, is_told = group_ns is not None, busy_ns is not None
    group_exact_ns = _added(one.charged.cpu_exact_ns for one in moments)
    busy_exact_ns = _added(one.charged.busy_exact_ns for one in moments)
    host_exact_ns = _added(one.charged.host_exact_ns for one in moments)
    return {
        "source": moments[0].charged.cpu_source if has_group else PROCESSES,
        "cpu_ns": group_ns if has_group else family_ns,
        "exact_ns": group_exact_ns if has_group else family_exact_ns,
        "outside_ns": _grown(
            [(a.charged.cpu_outside_ns, b.charged.cpu_outside_ns) for a, b in turns]
        ),
        "processes_ns": family_ns,
        "processes_exact_ns": family_exact_ns,
        "echoes": total("echoes"),
        "span_ns": total("stamp_ns"),
        "cpus": cpus,
        "busy_ns": busy_ns,
        "busy_source": moments[0].charged.busy_source if is_told else None,
        "busy_exact_ns": busy_exact_ns if is_told else None,
        "host_busy_ns": _grown(
            [(a.charged.host_busy_ns, b.charged.host_busy_ns) for a, b in turns]
        ),
        "host_exact_ns": host_exact_ns if is_told else None,
        "others_ns": _others_grown(turns),
        "loses_children": any(one.loses_children for one in moments),
    }


def _added(errors_ns: Iterable[int]) -> int:
    """Add the errors of independent readings: the square root of the sum of squares."""
    return round(math.hypot(*errors_ns))


def _grown(turns: Iterable[tuple[int | None, int | None]]) -> int | None:
    """Sum a counter's growth over all turns; None unless it was read at every edge."""
    sum_ns = 0
    for first, last in turns:
        if first is None or last is None:
            return None
        sum_ns += last - first
    return sum_ns


def _inexact_ns(first: Moment, last: Moment) -> int:
    """Largest error of ended children's times: two ticks per process that collected any."""
    grew = [task for task, ticks in last.collected.items() if first.collected.get(task, 0) != ticks]
    return COLLECTED_EXACT_NS * len(grew)


def _others(seen: Processes, members: Family) -> dict[Task, Other]:
    """List every process outside the server, this one included."""
    found = {}
    for pid, stat in seen.items():
        if pid not in members.pids:
            ended_ns = 0 if pid in members.collectors else stat.collected_ticks * TICK_NS
            above = seen.get(stat.parent)
            parent = (stat.parent, above.started_ticks if above else 0)
            found[pid, stat.started_ticks] = Other(clock_ns(pid) or 0, ended_ns, parent)
    return found


def _others_grown(turns: Sequence[tuple[Moment, Moment]]) -> int | None:
    """CPU time of all processes outside the server, in all turns."""
    sum_ns = 0
    for first, last in turns:
        if first.others is None or last.others is None:
            return None
        sum_ns += _grown_between(first.others, last.others)
    return sum_ns


def _grown_between(before: Mapping[Task, Other], after: Mapping[Task, Other]) -> int:
    """Growth of the clocks from `before` to `after`, in ns.

    A parent collects the whole life of an ended child; the part until `before` is subtracted: it
    is not growth. Where no parent waited, the kernel dropped all of it.
    """
    grown_ns = 0
    for task, now in after.items():
        was = before.get(task)
        grown_ns += now.clock_ns - (was.clock_ns if was else 0)
        grown_ns += now.collected_ns - (was.collected_ns if was else 0)
    old_ns: Counter[Task] = Counter()
    for task, was in before.items():
        heir = was.parent
        while heir not in after and heir in before:
            heir = before[heir].parent
        if task not in after and heir in after:
            old_ns[heir] += was.clock_ns + was.collected_ns
    for heir, ns in old_ns.items():
        collected_ns = before[heir].collected_ns if heir in before else 0
        grown_ns -= min(ns, after[heir].collected_ns - collected_ns)
    return grown_ns


def _loses_children(pids: Iterable[int]) -> bool:
    """Whether a process ignores SIGCHLD: the kernel then drops the times of its ended children."""
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if procfs.ignored_signals(status) >> (signal.SIGCHLD - 1) & 1:
            return True
    return False
