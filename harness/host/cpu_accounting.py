"""Account for the server's CPU time between idle moments: all that the kernel charged to it.

A cell's traffic runs in turns, and before and after each the server is idle. At these moments

- the harness reads the control group of the server, where it has one of its own. The kernel charges
  it with all that ran in it, ended processes included, up to the last tick (4 ms at HZ = 250) of a
  task that runs: hence the idle moments;
- this process sums the process clocks of the server's family, and the times of its ended children
  (`cutime` and `cstime` in proc(5)), which come in ticks of 10 ms;
- the harness reads how long the server's CPUs, and all CPUs of the host, ran any task at all.

Rule 1: the figure is the control group's where there is one, else the sum of the family.
Rule 2: a span lasts from one idle moment to the next and holds all traffic in between. The time
between two turns is in no span.
Rule 3: each source states how exact it is. The gates find in the balance what no source has.
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
# utime and stime of ended children are cut to whole ticks, each by itself.
COLLECTED_EXACT_NS = 2 * TICK_NS
PROCESSES = "processes"
READS_MAX = 5

Task = tuple[int, int]  # a pid and when it started, which no two processes share


@dataclass(frozen=True, slots=True)
class Charged:
    """What the harness read of the kernel's accounts at an idle moment; None: there is none.

    cpu_ns: the server's control group. cpu_outside_ns: what of it was not on its CPUs. busy_ns: all
    tasks on the server's CPUs. host_busy_ns: all tasks on all CPUs. `*_exact_ns` is by how much a
    reading may be wrong, `*_source` where it is from.
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
        """The harness's reply; an empty object where it read nothing."""
        return cls(**reply)


@dataclass(frozen=True, slots=True)
class Other:
    """A process that is not the server's: its own CPU time, what it collected, and its parent."""

    clock_ns: int
    collected_ns: int
    parent: Task


@dataclass(frozen=True, slots=True)
class Moment:
    """All accounts at one idle moment.

    `pids` are the server's processes, `collected` {process: ticks of its ended children}; `others`
    all that are not the server's, None where they cannot be seen or need not be.
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
    """The process's CPU time in ns, that of its ended threads included; None: no such process.

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
    """Have the harness read the kernel's accounts by `charge`, and read the family's own.

    The family, which `find` picks, is read once the server is idle. All others run on: their clocks
    are read at once, to be of the same moment as what the harness read. Where the server
    `has_group`, no figure depends on either: the others are not read, and the family is read once.
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
    reads are repeated, `reads_max` times at most, until no member has come, gone or collected
    anything meanwhile.
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
    """The record's `server.charged`: the sums of all turns; None where there was none.

    `cpus` is how many the server has.
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
    """Errors of independent readings add up by their squares."""
    return round(math.hypot(*errors_ns))


def _grown(turns: Iterable[tuple[int | None, int | None]]) -> int | None:
    """What a counter grew by in all turns; None unless it was read at each of their edges."""
    sum_ns = 0
    for first, last in turns:
        if first is None or last is None:
            return None
        sum_ns += last - first
    return sum_ns


def _inexact_ns(first: Moment, last: Moment) -> int:
    """By how much the times of ended children may be wrong: each process that collected some."""
    grew = [task for task, ticks in last.collected.items() if first.collected.get(task, 0) != ticks]
    return COLLECTED_EXACT_NS * len(grew)


def _others(seen: Processes, members: Family) -> dict[Task, Other]:
    """Every process that is not the server's, this one included."""
    found = {}
    for pid, stat in seen.items():
        if pid not in members.pids:
            ended_ns = 0 if pid in members.collectors else stat.collected_ticks * TICK_NS
            above = seen.get(stat.parent)
            parent = (stat.parent, above.started_ticks if above else 0)
            found[pid, stat.started_ticks] = Other(clock_ns(pid) or 0, ended_ns, parent)
    return found


def _others_grown(turns: Sequence[tuple[Moment, Moment]]) -> int | None:
    """CPU time of all processes that are not the server's, in all turns."""
    sum_ns = 0
    for first, last in turns:
        if first.others is None or last.others is None:
            return None
        sum_ns += _grown_between(first.others, last.others)
    return sum_ns


def _grown_between(before: Mapping[Task, Other], after: Mapping[Task, Other]) -> int:
    """What is now on the clocks and was not, less what was on the clock of a process that ended.

    The parent that waited for it has collected its whole life, of which the part until `before` is
    no growth. Where no parent waited, the kernel dropped all of it.
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
    """Whether a process ignores SIGCHLD: the kernel then drops the time of its ended children."""
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if procfs.ignored_signals(status) >> (signal.SIGCHLD - 1) & 1:
            return True
    return False
