"""Find the server's processes and read the limits that the kernel applies to them.

It never goes by name: the server is the holder of the listening socket, and its family.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.contract.address import Address
from harness.contract.trial_spec import Tree
from harness.host import procfs, server_processes, sockets

# Servers that fork per connection: the processes of the readiness probe end at this time.
ATTEMPTS = 10


class Escaped(Exception):
    """The server runs elsewhere than the harness started it. The message says how."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server's processes and their limits, soft and hard; None: no limit.

    `cpus` are the allowed CPUs of all its tasks together.
    """

    pids: tuple[int, ...]
    keeper: int | None
    nofile: tuple[int | None, int | None]
    processes: tuple[int | None, int | None]
    pids_max: int | None
    cpus: tuple[int, ...]
    uid: int
    pid1: bool


def find(address: Address, tree: Tree = "server") -> Server | None:
    """Find the server that listens on the address; None when no visible process holds it.

    Raises Escaped when it left its keeper, OSError when its processes are not readable.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(FileNotFoundError, ProcessLookupError):  # one of them ended meanwhile
            return _find(address, tree)
    return _find(address, tree)


def _find(address: Address, tree: Tree) -> Server | None:
    holders = sockets.holders(sockets.listeners(address)) - {os.getpid()}
    if not holders:
        return None
    seen = server_processes.processes()
    keeper = server_processes.keeper_of(seen, tree, min(holders))
    if keeper is None and tree in server_processes.KEEPER_DEPTH:
        raise Escaped("the listening process is no longer below the process that keeps the server")
    pids = server_processes.of(seen, tree, holders, keeper).pids
    main = server_processes.main_of(seen, pids)
    first = Path(f"/proc/{main}")
    status = procfs.task_status((first / "status").read_text())
    limits = procfs.limits((first / "limits").read_text())
    return Server(
        pids=tuple(sorted(pids)),
        keeper=keeper,
        nofile=limits["Max open files"],
        processes=limits["Max processes"],
        pids_max=_pids_max(main),
        cpus=tuple(sorted(allowed_cpus(pids))),
        uid=status.uid,
        pid1=any(_is_init(pid) for pid in pids),
    )


def with_descendants(roots: Iterable[int]) -> set[int]:
    """Add all descendants to the processes; ended ones stay in the result."""
    return set(server_processes.descendants(server_processes.processes(), roots))


def allowed_cpus(pids: Iterable[int]) -> frozenset[int]:
    """The CPUs on which any task of the processes may run."""
    lists = {procfs.allowed_cpus(status) for pid in pids for status in task_files(pid, "status")}
    return frozenset(cpu for text in lists for cpu in procfs.cpu_list(text.decode()))


def task_files(pid: int, name: str) -> Iterable[bytes]:
    """Read one file of every task of a process, by plain system calls: there may be 10,000."""
    try:
        tasks = list(os.scandir(f"/proc/{pid}/task"))
    except OSError:
        return
    for task in tasks:
        try:
            descriptor = os.open(f"{task.path}/{name}", os.O_RDONLY)
        except OSError:  # the task ended since
            continue
        try:
            yield os.read(descriptor, 4096)
        except OSError:
            continue
        finally:
            os.close(descriptor)


def _is_init(pid: int) -> bool:
    """Whether it is PID 1 of its own namespace. The kernel ignores its unhandled signals."""
    status = procfs.task_status(Path(f"/proc/{pid}/status").read_text())
    return status.namespace_pids[-1] == 1


def _pids_max(pid: int) -> int | None:
    """The cgroup's limit of tasks; None where its files are not visible from here."""
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
