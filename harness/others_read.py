"""Read which other programs run on this host: one pass over /proc, or over the control groups.

A container without the host's PIDs sees its own processes only. The control groups that
`docker-compose.yml` mounts name services and containers there.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from harness.backends.cgroups import ROOT
from harness.load import family, procfs
from harness.load.accounting import TICK_NS
from harness.others import Key, Program, Snapshot

KERNEL = "kernel threads"
# Deeper groups are those of one program each; walking thousands of them costs too much.
DEPTH_MAX = 4
GROUPS_MAX = 500
CONTAINER = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?$")
ID_LETTERS = 12


def snapshot() -> Snapshot:
    """All programs now but this process, what it started, and what ran for its campaign."""
    found: dict[Key, Program] = {}
    if _is_host_in_view():
        for key, program in _processes():
            found[key] = program
        return Snapshot(time.monotonic_ns(), "processes", found)
    for path, program in _groups(ROOT):
        found[path] = program
    return Snapshot(time.monotonic_ns(), "groups" if found else "nothing", found)


def _is_host_in_view() -> bool:
    """PID 2 of a host is kthreadd; a namespace of a container has none, or another."""
    try:
        stat = procfs.process_stat(Path(f"/proc/{family.KTHREADD}/stat").read_text())
    except OSError:
        return False
    return bool(stat.flags & family.PF_KTHREAD)


def _processes() -> Iterator[tuple[tuple[int, int], Program]]:
    seen = family.processes()
    own = family.descendants(seen, [os.getpid()])
    for pid, stat in seen.items():
        if pid in own:
            continue
        above = seen.get(stat.parent)
        parent = (stat.parent, above.started_ticks) if above else None
        name = KERNEL if stat.flags & family.PF_KTHREAD else stat.name
        cpu_ns = (stat.user_ticks + stat.system_ticks) * TICK_NS
        yield (
            (pid, stat.started_ticks),
            Program(name, cpu_ns, stat.collected_ticks * TICK_NS, parent),
        )


def _groups(root: Path) -> Iterator[tuple[str, Program]]:
    """Every control group with its own CPU time, that of the groups below it left out."""
    for base in (root / "cpuacct", root / "cpu,cpuacct", root, root / "unified"):
        totals = dict(_totals(base))
        if len(totals) < 2:
            continue
        for path, total_ns in totals.items():
            below_ns = sum(ns for one, ns in totals.items() if one.parent == path)
            if path != base and not _is_own(path):
                yield str(path), Program(_name(path), max(0, total_ns - below_ns))
        return


def _totals(base: Path) -> Iterator[tuple[Path, int]]:
    waiting, seen = [(base, 0)], 0
    while waiting and seen < GROUPS_MAX:
        path, depth = waiting.pop(0)
        total_ns = _usage_ns(path)
        if total_ns is None:
            continue
        seen += 1
        yield path, total_ns
        if depth < DEPTH_MAX:
            waiting += [(entry, depth + 1) for entry in sorted(path.iterdir()) if entry.is_dir()]


def _usage_ns(path: Path) -> int | None:
    try:
        if (path / "cpuacct.usage").is_file():
            return int((path / "cpuacct.usage").read_text())
        words = (path / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) * 1_000
    except (OSError, ValueError):
        return None


def _is_own(path: Path) -> bool:
    """Whether it is this container's group: an engine names a container's host after its id."""
    found = CONTAINER.search(path.name)
    return bool(found) and str(found and found[1]).startswith(socket.gethostname())


def _name(path: Path) -> str:
    found = CONTAINER.search(path.name)
    return f"container {found[1][:ID_LETTERS]}" if found else path.name
