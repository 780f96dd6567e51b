"""Find the server's processes, each time anew.

A server forks, double-forks and replaces its workers, so neither a name nor an earlier list decides
which processes are its own. The place where it was started does:

- `keeper` (process backend): a keeper process started it and inherits its orphans. Everything below
  the keeper is the server's; what the keeper waited for, it collects. `init` is the same where the
  keeper is the first process of a PID namespace.
- `namespace` (containers): load and server share a PID namespace. Everything in it that
  is not the load's is the server's; its first process collects the orphans.
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
# How far below the harness, which started both, the keeper is.
KEEPER_DEPTH = {"keeper": 1, "init": 2}


@dataclass(frozen=True, slots=True)
class Family:
    """Process ids of the server, and of those that collect the times of its ended children."""

    pids: frozenset[int]
    collectors: frozenset[int]


def processes() -> dict[int, ProcessStat]:
    """Every process that is visible here, zombies included."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = procfs.process_stat(Path(entry.path, "stat").read_text())
            except OSError:  # it ended since
                continue
    return found


def is_host_in_view(seen: Processes) -> bool:
    """Whether these are all processes of the host: those of a namespace have no kernel threads, and
    those that hidepid leaves (proc(5)) neither."""
    return KTHREADD in seen and bool(seen[KTHREADD].flags & PF_KTHREAD)


def descendants(seen: Processes, roots: Iterable[int]) -> frozenset[int]:
    """The roots and all that they forked, and what those forked."""
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
    """The process and those above it, as far as they are visible, the topmost last."""
    line = []
    while pid in seen and pid not in line:
        line.append(pid)
        pid = seen[pid].parent
    return tuple(line)


def main_of(seen: Processes, pids: AbstractSet[int]) -> int:
    """The process of the server that was started: the oldest whose parent is none of them.

    Others of that kind are orphans. Not the lowest number: the kernel starts again from below.
    """
    roots = [pid for pid in pids if pid not in seen or seen[pid].parent not in pids]
    return min(roots, key=lambda pid: (seen[pid].started_ticks if pid in seen else 0, pid))


def keeper_of(seen: Processes, tree: Tree, holder: int) -> int | None:
    """The keeper above the process that holds the listening socket; None where there is none.

    Found from above, where a server has no say: the process below the harness, or the one below
    that, which `unshare --fork` started. The harness is the parent of this one's parent, which is
    the load's fork server.
    """
    depth = KEEPER_DEPTH.get(tree, 0)
    above = ancestors(seen, os.getpid())
    line = [pid for pid in ancestors(seen, holder) if pid not in above]
    if not 0 < depth < len(line) or above[2:3] != (seen[line[-1]].parent,):
        return None
    return line[-depth]


def of(seen: Processes, tree: Tree, holders: Iterable[int], keeper: int | None) -> Family:
    """The server's family among the processes that are `seen`."""
    if tree == "namespace":
        above = ancestors(seen, os.getpid())
        pids = frozenset(seen) - descendants(seen, [os.getpid()]) - frozenset(above)
        return Family(pids, pids | {INIT})
    if keeper is not None:
        family = descendants(seen, [keeper])
        return Family(family - {keeper}, family)
    pids = descendants(seen, holders)
    return Family(pids, pids)
