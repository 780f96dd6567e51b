"""Which processes are the server, and under which limits they really run.

Never by name: the server is what holds the listening socket, and its family.
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

# Servers fork a process per connection: those of the readiness probe end just then.
ATTEMPTS = 10


class Escaped(Exception):
    """The server is not where it was started. The message says how."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server's processes and the limits read back from them. Soft and hard; None: no limit.

    `cpus` are those of all its tasks together.
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

    Raises Escaped when it left its keeper, OSError when its processes may not be looked into.
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
        raise Escaped("what listens is no longer below the process that keeps the server")
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
    """The processes and all that they forked, and what those forked; ended ones are left in."""
    return set(server_processes.descendants(server_processes.processes(), roots))


def allowed_cpus(pids: Iterable[int]) -> frozenset[int]:
    """The CPUs on which any task of the processes may run."""
    lists = {procfs.allowed_cpus(status) for pid in pids for status in task_files(pid, "status")}
    return frozenset(cpu for text in lists for cpu in procfs.cpu_list(text.decode()))


def task_files(pid: int, name: str) -> Iterable[bytes]:
    """One file of every task of a process. Plain system calls: there may be 10,000."""
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
