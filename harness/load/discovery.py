"""Which processes are the server, and under which limits they really run.

Never by name: the server is whoever holds the listening socket, and all its descendants.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.load import procfs, sockets
from harness.load.address import Address


@dataclass(frozen=True, slots=True)
class Server:
    """The server's processes and the limits read back from them. Soft and hard; None: no limit."""

    pids: tuple[int, ...]
    nofile: tuple[int | None, int | None]
    processes: tuple[int | None, int | None]
    pids_max: int | None
    cpus: tuple[int, ...]
    uid: int
    pid1: bool


def find(address: Address) -> Server | None:
    """Find the server that listens on the address; None when no visible process holds it."""
    holders = sockets.holders(sockets.listeners(address)) - {os.getpid()}
    if not holders:
        return None
    pids = tuple(sorted(with_descendants(holders)))
    first = Path(f"/proc/{pids[0]}")
    status = procfs.task_status((first / "status").read_text())
    limits = procfs.limits((first / "limits").read_text())
    return Server(
        pids=pids,
        nofile=limits["Max open files"],
        processes=limits["Max processes"],
        pids_max=_pids_max(pids[0]),
        cpus=status.cpus,
        uid=status.uid,
        pid1=any(_is_init(pid) for pid in pids),
    )


def with_descendants(roots: Iterable[int]) -> set[int]:
    """The processes and all that they forked, and what those forked; ended ones are left in."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            children[procfs.process_stat(text).parent].append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children[pid])
    return found


def _is_init(pid: int) -> bool:
    """Whether it is PID 1 of its own namespace: signals without a handler are ignored there."""
    status = procfs.task_status(Path(f"/proc/{pid}/status").read_text())
    return status.namespace_pids[-1] == 1


def _pids_max(pid: int) -> int | None:
    """The cgroup's limit of tasks where its files are visible from here; else None."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        controllers, path = line.split(":", 2)[1:]
        if controllers not in ("", "pids"):
            continue
        for root in (Path("/sys/fs/cgroup", controllers), Path("/sys/fs/cgroup/unified")):
            limit = root / path.lstrip("/") / "pids.max"
            try:
                return int(limit.read_text())
            except (OSError, ValueError):  # not mounted here, or "max"
                continue
    return None
