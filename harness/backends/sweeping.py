"""Kill the processes that a roster covers, and no others.

A process belongs to a trial of the roster if the harness started it, or if it is in the session of
such a process that still runs, or if it has the trial's token in its environment, which children
inherit. A server that left its session and cleared its environment still has its keeper
(harness/backends/keeper.py). The keeper ends every process that it kept when the harness ends in
any way.

The sweep spares its own process and its ancestors in every case.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.backends.cpu_time import V2, CpuGroup
from harness.backends.roster import TOKEN_VARIABLE, Entry, Identity, Roster
from harness.host import procfs, server_processes
from harness.host.server_processes import Processes

# A process may fork just before it is killed; more generations than this are a fork bomb.
ROUNDS_MAX = 100
# A killed process ends at once unless it waits for a device.
END_S = 5.0
ENDED = "ZX"


def sweep(roster: Roster, token: str | None = None) -> list[int]:
    """Kill the processes of all trials of the roster, or of one; end the trials without processes.

    Args:
        roster: the roster of a lock that the caller holds.
        token: the token of the one trial to end.

    Returns:
        The PIDs of the killed processes.
    """
    entries = [entry for entry in roster.entries() if token in (None, entry.token)]
    killed = _kill_all(lambda: _covered(entries)) if entries else []
    ended = [entry for entry in entries if _is_group_free(entry) and not _covered([entry])]
    roster.end(entry.token for entry in ended)
    return killed


def _is_group_free(entry: Entry) -> bool:
    """Remove the trial's control groups; return whether all are gone."""
    removed = [CpuGroup(group, V2).remove() for group in entry.groups]
    return all(removed)


def _kill_all(find: Callable[[], list[Identity]]) -> list[int]:
    """Kill what `find` finds until it finds no more, and wait until all have ended."""
    descriptors: dict[int, int] = {}
    seen: set[Identity] = set()
    try:
        for _ in range(ROUNDS_MAX):
            found = [one for one in find() if one not in seen]
            if not found:
                break
            for one in found:
                seen.add(one)  # killed now, or not permitted
                descriptor = kill(one)
                if descriptor is not None:
                    descriptors[one.pid] = descriptor
        _await_end(descriptors.values())
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)
    return list(descriptors)


def _covered(entries: Iterable[Entry]) -> list[Identity]:
    """Living processes of these trials; session leaders come last.

    The kernel does not reuse a session's number while its leader lives.
    """
    seen = server_processes.processes()
    spared = set(server_processes.ancestors(seen, os.getpid()))
    alive = {pid: stat for pid, stat in seen.items() if stat.state not in ENDED}
    found = {
        pid
        for entry in entries
        for pid in _of(entry, alive)
        if pid not in spared and entry.owner in (0, _user(pid))
    }
    in_order = sorted(found, key=lambda pid: pid == alive[pid].session)
    return [Identity(pid, alive[pid].started_ticks) for pid in in_order]


def _of(entry: Entry, alive: Processes) -> Iterable[int]:
    """Select the processes of one trial from those that are alive."""
    leaders = {
        one.pid
        for one in entry.started
        if one.pid in alive and alive[one.pid].started_ticks == one.start
    }
    for pid, stat in alive.items():
        if pid in leaders or stat.session in leaders or _carries(pid, entry.token):
            yield pid


def _carries(pid: int, token: str) -> bool:
    """Whether a process has the token in its environment; False if that is not readable."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{TOKEN_VARIABLE}={token}".encode() in environment.split(b"\0")


def _user(pid: int) -> int | None:
    try:
        return procfs.task_status(Path(f"/proc/{pid}/status").read_text()).uid
    except OSError:
        return None


def kill(one: Identity) -> int | None:
    """Send SIGKILL; return a pidfd, readable once the process ended, or None if nothing was sent.

    The pidfd is opened before the start time is checked, so it cannot belong to a later process.
    """
    try:
        descriptor = os.pidfd_open(one.pid)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        now = procfs.process_stat(Path(f"/proc/{one.pid}/stat").read_text())
        if now.started_ticks == one.start:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            return descriptor
    os.close(descriptor)
    return None


def _await_end(descriptors: Iterable[int]) -> None:
    poll, deadline_s = select.poll(), time.monotonic() + END_S
    left = set(descriptors)
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    while left and (within_s := deadline_s - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(1000 * within_s):
            poll.unregister(descriptor)
            left.discard(descriptor)
