"""Find the server's processes, anew at each call.

A server forks, double-forks and replaces its workers. Neither a name nor an earlier list identifies
its processes. The place where the harness started it does:

- `keeper` (process backend): a keeper process started it and inherits its orphans. Every process
  below the keeper belongs to the server. The keeper collects the times of those it waited for.
  `init` is the same, with the keeper as the first process of a PID namespace.
- `namespace` (containers): load and server share a PID namespace. Every process in it that does
  not belong to the load belongs to the server; the namespace's first process collects the orphans.
- `server` (a server that runs already): the holder of the listening socket, and its descendants.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from harness.contract.trial_spec import Tree
from harness.host import procfs
from harness.host.procfs import ProcessStat

Processes = Mapping[int, ProcessStat]
INIT = 1
KTHREADD = 2
PF_KTHREAD = 0x00200000  # linux/sched.h
# Levels between the keeper and the harness, which started both keeper and load.
KEEPER_DEPTH = {"keeper": 1, "init": 2}


@dataclass(frozen=True, slots=True)
class Family:
    """Process ids of the server, and of those that collect the times of its ended children."""

    pids: frozenset[int]
    collectors: frozenset[int]


def processes() -> dict[int, ProcessStat]:
    """List every visible process, zombies included."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = procfs.process_stat(Path(entry.path, "stat").read_text())
            except OSError:  # it has ended
                continue
    return found


def is_host_in_view(seen: Processes) -> bool:
    """Whether `seen` has all processes of the host.

    A PID namespace has no kernel threads, and hidepid (proc(5)) hides them.
    """
    return KTHREADD in seen and bool(seen[KTHREADD].flags & PF_KTHREAD)


def descendants(seen: Processes, roots: Iterable[int]) -> frozenset[int]:
    """The roots and all their descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, stat in seen.items():
        children[stat.parent].append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children[pid])
    return frozenset(found)


def ancestors(seen: Processes, pid: int) -> tuple[int, ...]:
    """The process and its visible ancestors, the topmost last."""
    line = []
    while pid in seen and pid not in line:
        line.append(pid)
        pid = seen[pid].parent
    return tuple(line)


def main_of(seen: Processes, pids: AbstractSet[int]) -> int:
    """The server process that the harness started: the oldest with a parent outside `pids`.

    Younger ones are orphans. The lowest pid would be wrong: pids wrap around.
    """
    roots = [pid for pid in pids if pid not in seen or seen[pid].parent not in pids]
    return min(roots, key=lambda pid: (seen[pid].started_ticks if pid in seen else 0, pid))


def keeper_of(seen: Processes, tree: Tree, holder: int) -> int | None:
    """The keeper above the process that holds the listening socket; None if there is none.

    The search goes from the top down, where a server has no influence. The keeper is the process
    below the harness, or the one below that, started by `unshare --fork`. The harness is the parent
    of this process's parent, which is the load's fork server.
    """
    depth = KEEPER_DEPTH.get(tree, 0)
    above = ancestors(seen, os.getpid())
    line = [pid for pid in ancestors(seen, holder) if pid not in above]
    if not 0 < depth < len(line) or above[2:3] != (seen[line[-1]].parent,):
        return None
    return line[-depth]


def of(seen: Processes, tree: Tree, holders: Iterable[int], keeper: int | None) -> Family:
    """Select the server's family from the processes `seen`."""
    if tree == "namespace":
        above = ancestors(seen, os.getpid())
        pids = frozenset(seen) - descendants(seen, [os.getpid()]) - frozenset(above)
        return Family(pids, pids | {INIT})
    if keeper is not None:
        family = descendants(seen, [keeper])
        return Family(family - {keeper}, family)
    pids = descendants(seen, holders)
    return Family(pids, pids)
