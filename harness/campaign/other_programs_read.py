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
from collections.abc import Set as AbstractSet
from pathlib import Path

from harness.contract.printable import plain
from harness.gates.other_programs import Key, Program, Snapshot
from harness.host import procfs, server_processes
from harness.host.cgroups import ROOT
from harness.host.cpu_accounting import TICK_NS
from harness.host.server_processes import Processes

KERNEL = "kernel threads"
# Above or in each container. They wait for its processes, so the time that they collect holds the
# campaign's own containers. The kernel cuts a name off after 15 characters.
OF_CONTAINERS = re.compile(r"(?:systemd|dockerd|containerd|containerd-shim.*|runc|docker-init)$")
# A program of a desktop session is six deep. Walking thousands of groups costs too much.
DEPTH_MAX = 6
GROUPS_MAX = 500
CONTAINER = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?$")
ID_LETTERS = 12


def snapshot() -> Snapshot:
    """All programs now but this process, what it started, and what ran for its campaign."""
    found: dict[Key, Program] = {}
    if _is_host_in_view():
        seen = server_processes.processes()
        own = server_processes.descendants(seen, [os.getpid()])
        found.update(_processes(seen, own))
        return Snapshot(time.monotonic_ns(), "processes", found)
    found.update(_groups(ROOT))
    return Snapshot(time.monotonic_ns(), "groups" if found else "nothing", found)


def _is_host_in_view() -> bool:
    """PID 2 of a host is kthreadd; a namespace of a container has none, or another."""
    try:
        stat = procfs.process_stat(Path(f"/proc/{server_processes.KTHREADD}/stat").read_text())
    except OSError:
        return False
    return bool(stat.flags & server_processes.PF_KTHREAD)


def _processes(seen: Processes, own: AbstractSet[int]) -> Iterator[tuple[Key, Program]]:
    """Every process that is not the campaign's own. Pure."""
    for pid, stat in seen.items():
        if pid in own:
            continue
        above = seen.get(stat.parent)
        parent = (stat.parent, above.started_ticks) if above else None
        name = KERNEL if stat.flags & server_processes.PF_KTHREAD else plain(stat.name)
        cpu_ns = (stat.user_ticks + stat.system_ticks) * TICK_NS
        is_of_containers = pid == server_processes.INIT or OF_CONTAINERS.match(stat.name)
        collected_ns = 0 if is_of_containers else stat.collected_ticks * TICK_NS
        yield (pid, stat.started_ticks), Program(name, cpu_ns, collected_ns, parent)


def _groups(root: Path) -> Iterator[tuple[Key, Program]]:
    """Every control group that has none below it.

    The kernel keeps the time of a removed group in the groups above it. So their time, less that of
    the groups that are left, holds the campaign's own removed containers.
    """
    for base in (root / "cpuacct", root / "cpu,cpuacct", root, root / "unified"):
        if _usage_ns(base) is None:
            continue
        leaves = [leaf for leaf in _leaves(base) if leaf[0] != base]
        if leaves:
            yield from ((str(path), Program(_name(path), ns)) for path, ns in leaves)
            return


def _leaves(base: Path) -> Iterator[tuple[Path, int]]:
    """(path, CPU time) of the groups without one below them; this container's own left out."""
    waiting, seen = [(base, 0)], 0
    while waiting and seen < GROUPS_MAX:
        path, depth = waiting.pop(0)
        total_ns = _usage_ns(path)
        if total_ns is None or _is_own(path):
            continue
        seen += 1
        below = _below(path)
        if not below:
            yield path, total_ns
        elif depth < DEPTH_MAX:
            waiting += [(entry, depth + 1) for entry in below]


def _below(path: Path) -> list[Path]:
    try:
        return [entry for entry in sorted(path.iterdir()) if entry.is_dir()]
    except OSError:  # the group was removed since
        return []


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
    return f"container {found[1][:ID_LETTERS]}" if found else plain(path.name)
