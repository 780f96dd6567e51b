"""Compute what servers that are up at once need of the host, and what the host has. Pure.

These are the limits that the servers of a wave share. Limits of one process, such as its open
files, do not depend on waves: the doctor's checks have them.
"""

from __future__ import annotations

from harness.doctor.connections import (
    BYTES_OF_HARNESS,
    BYTES_OF_LOAD,
    BYTES_PER_CONNECTION,
    BYTES_PER_THREAD,
    ENDS,
)
from harness.doctor.threads import STACK_BYTES
from harness.host.facts import UNLIMITED, Facts
from harness.plan.limits import NOFILE_MARGIN
from harness.plan.waves import Amount

# The rest is a reserve for what other programs use until the last block.
MEMORY_SHARE = 0.9


def needs(connections: int, *, is_threaded: bool) -> Amount:
    """The needs of one server and its load at that many connections."""
    threads = connections + NOFILE_MARGIN if is_threaded else 0
    return Amount(
        memory_bytes=BYTES_OF_LOAD
        + connections * BYTES_PER_CONNECTION
        + threads * BYTES_PER_THREAD,
        files=ENDS * (connections + NOFILE_MARGIN),
        watches=ENDS * connections,
        threads=threads,
    )


def of_host(facts: Facts, backend: str) -> Amount:
    """The host's resources for all servers and loads at once. An unknown limit binds nothing."""
    available = _least(facts.memory_available_bytes, facts.cgroup_memory_left_bytes)
    memory_bytes = available
    if available < UNLIMITED:
        memory_bytes = max(0, int(available * MEMORY_SHARE) - BYTES_OF_HARNESS)
    return Amount(
        memory_bytes=memory_bytes,
        files=_left(facts.fs_file_max, facts.files_open),
        watches=_least(facts.fs_epoll_max_user_watches),
        threads=_threads(facts, backend),
    )


def _threads(facts: Facts, backend: str) -> int:
    of_host = min(
        _left(facts.kernel_pid_max, facts.tasks), _left(facts.kernel_threads_max, facts.tasks)
    )
    promised = UNLIMITED
    if facts.vm_overcommit_memory == 2:
        promised = _least(facts.commit_left_bytes) // STACK_BYTES
    if backend == "docker":  # the engine has its own limits for each container
        return min(of_host, promised)
    of_user = UNLIMITED if facts.nproc_exempt else _left(facts.nproc, facts.tasks_of_user)
    return min(of_host, promised, of_user, _least(facts.pids_left))


def _left(limit: int | None, used: int | None) -> int:
    if limit is None or limit >= UNLIMITED:
        return UNLIMITED
    return max(0, limit - (used or 0))


def _least(*limits: int | None) -> int:
    return min((limit for limit in limits if limit is not None), default=UNLIMITED)
