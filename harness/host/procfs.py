"""Parse the texts of /proc. Pure: every function takes a text and returns plain values.

Sizes are in bytes. Times are in the kernel's units, which the names state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Columns of a cpu line in /proc/stat (proc_stat(5)); `user` includes guest time.
TICK_NAMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
IDLE_NAMES = ("idle", "iowait")

_MAPPING = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<mode>\S{4}) \S+ \S+ "
    r"(?P<inode>\d+)\s*(?P<name>.*)$"
)


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """The members of /proc/PID/stat that we use. Times in clock ticks, summed over threads.

    `collected_ticks` is the time of children that it waited for, and of their collected children.
    """

    state: str
    parent: int
    session: int
    user_ticks: int
    system_ticks: int
    collected_ticks: int
    threads: int
    started_ticks: int
    flags: int  # PF_* of linux/sched.h
    name: str


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """The members of /proc/PID/status that we use."""

    uid: int
    namespace_pids: tuple[int, ...]
    cpus: tuple[int, ...]
    page_tables_bytes: int


def process_stat(text: str) -> ProcessStat:
    """Parse /proc/PID/stat; the command may contain spaces and brackets."""
    members = text[text.rindex(")") + 2 :].split()
    return ProcessStat(
        state=members[0],
        parent=int(members[1]),
        session=int(members[3]),
        user_ticks=int(members[11]),
        system_ticks=int(members[12]),
        collected_ticks=int(members[13]) + int(members[14]),
        threads=int(members[17]),
        started_ticks=int(members[19]),
        flags=int(members[6]),
        name=text[text.index("(") + 1 : text.rindex(")")],
    )


def task_status(text: str) -> TaskStatus:
    """Parse /proc/PID/status."""
    members = _members(text)
    return TaskStatus(
        uid=int(members["Uid"].split()[0]),
        namespace_pids=tuple(int(pid) for pid in members.get("NSpid", members["Pid"]).split()),
        cpus=tuple(cpu_list(members["Cpus_allowed_list"])),
        page_tables_bytes=_kib(members.get("VmPTE", "0 kB")),
    )


def allowed_cpus(status: bytes) -> bytes:
    """The CPUs on which one task may run, from its status."""
    return status.rpartition(b"\nCpus_allowed_list:")[2].split(None, 1)[0]


def switches(status: bytes) -> tuple[int, int]:
    """(voluntary, involuntary) context switches of one task, from its status.

    Searches bytes from the end instead of parsing all lines: there may be 10,000 tasks.
    """
    involuntary = status.rindex(b":")
    voluntary = status.rindex(b":", 0, involuntary)
    return int(status[voluntary + 1 :].split(None, 1)[0]), int(status[involuntary + 1 :])


def pending_signals(status: str) -> int:
    """The pending signals of a whole process, as a mask: bit 0 is signal 1."""
    return int(status.split("\nShdPnd:", 1)[1].split(None, 1)[0], 16)


def ignored_signals(status: str) -> int:
    """The signals that a process ignores, as a mask: bit 0 is signal 1."""
    return int(status.split("\nSigIgn:", 1)[1].split(None, 1)[0], 16)


def cpu_list(text: str) -> list[int]:
    """Parse the kernel's list format: `0-3,8`."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def limits(text: str) -> dict[str, tuple[int | None, int | None]]:
    """Parse /proc/PID/limits into {name: (soft, hard)}; None: unlimited."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for line in text.splitlines()[1:]:
        match = re.match(r"^(Max .*?)\s{2,}(\S+)\s+(\S+)", line)
        if match is not None:
            found[match[1]] = (_limit(match[2]), _limit(match[3]))
    return found


def cpu_ticks(text: str) -> dict[int, dict[str, int]]:
    """Parse the per-CPU lines of /proc/stat into {cpu: {tick name: ticks}}."""
    found: dict[int, dict[str, int]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name.startswith("cpu") and name != "cpu":
            values = [int(value) for value in rest.split()]
            found[int(name[3:])] = dict(zip(TICK_NAMES, values, strict=False))
    return found


def counters(text: str) -> dict[str, dict[str, int]]:
    """Parse /proc/net/snmp or netstat: pairs of lines, names then values, per protocol."""
    found: dict[str, dict[str, int]] = {}
    lines = iter(text.splitlines())
    for names, values in zip(lines, lines, strict=True):
        protocol, _, columns = names.partition(":")
        numbers = [int(value) for value in values.partition(":")[2].split()]
        found[protocol] = dict(zip(columns.split(), numbers, strict=True))
    return found


def softnet_dropped(text: str) -> int:
    """Packets that the per-CPU input queues dropped: column 2 of /proc/net/softnet_stat, hex."""
    return sum(int(line.split()[1], 16) for line in text.splitlines())


def pressure_some_us(text: str) -> int:
    """Total µs in which some task waited: the `some` line of a /proc/pressure file."""
    match = re.search(r"^some .*total=(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def sizes(text: str) -> dict[str, int]:
    """Parse `Name:  123 kB` lines (meminfo, smaps_rollup) into bytes."""
    return {name: _kib(value) for name, value in _members(text).items() if value.endswith(" kB")}


def stack_bytes(smaps: str, page_bytes: int) -> int:
    """Resident bytes of the stacks of a process's other threads, from /proc/PID/smaps.

    A thread's stack lies directly above its guard page. glibc (nptl/allocatestack.c) and musl map
    both in one piece and remove all rights from the lowest page. Nothing else makes an anonymous
    writable mapping directly after exactly one page (`page_bytes`) without rights. The main
    thread's stack is `[stack]` and counts as user memory in every architecture. A libc whose guard
    is no mapping of its own (MADV_GUARD_INSTALL, glibc 2.42) yields 0 here, and its stacks count
    as user memory.
    """
    total = 0
    guard_end = -1
    in_stack = False
    for line in smaps.splitlines():
        match = _MAPPING.match(line)
        if match is None:
            if in_stack and line.startswith("Rss:"):
                total += _kib(line.partition(":")[2])
            continue
        start, end = int(match["start"], 16), int(match["end"], 16)
        anonymous = match["inode"] == "0" and (not match["name"] or "[anon" in match["name"])
        in_stack = anonymous and match["mode"] == "rw-p" and start == guard_end
        is_guard = anonymous and match["mode"] == "---p" and end - start == page_bytes
        guard_end = end if is_guard else -1
    return total


def _members(text: str) -> dict[str, str]:
    return dict(_pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name, value.strip()


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024


def _limit(text: str) -> int | None:
    return None if text == "unlimited" else int(text)
