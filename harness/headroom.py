"""What the harness itself needs of its process, asked before anything is measured.

Without it a report fails after the campaign: a limit of addresses ends the process that draws the
charts by SIGTRAP, one of tasks by a failed fork.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from harness.errors import HostNotFit

# V8, which draws the charts, reserves 64 GiB of addresses (VmPeak of one chart: 64.4 GiB).
ADDRESS_SPACE_BYTES = 80 << 30
# Threads of the harness and of V8, the load and its fork server, tools that start a server.
TASKS = 64
GIB = 1 << 30


def require() -> None:
    """Raise the limit of addresses as far as it goes.

    Raises:
        HostNotFit: it, or that of tasks, is too low.
    """
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    require_addresses(resource.getrlimit(resource.RLIMIT_AS)[0])
    if os.geteuid() != 0:  # root has no such limit
        require_tasks(resource.getrlimit(resource.RLIMIT_NPROC)[0], _tasks_of(os.getuid()))


def require_addresses(limit_bytes: int) -> None:
    """Raise HostNotFit where a report could not be drawn."""
    if limit_bytes != resource.RLIM_INFINITY and limit_bytes < ADDRESS_SPACE_BYTES:
        raise HostNotFit(
            f"this process may use {limit_bytes / GIB:.1f} GiB of addresses (RLIMIT_AS); drawing a "
            f"report reserves {ADDRESS_SPACE_BYTES // GIB} GiB, and uses little of it",
            hint="`ulimit -v unlimited`, or start it from a shell without that limit.",
        )


def require_tasks(limit: int, used: int) -> None:
    """Raise HostNotFit where the user has too few processes and threads left."""
    if limit != resource.RLIM_INFINITY and limit - used < TASKS:
        raise HostNotFit(
            f"this user may have {limit} processes and threads (RLIMIT_NPROC) and has {used}; "
            f"c10k needs {TASKS} more",
            hint=f"`ulimit -u {used + 2 * TASKS}`, or more.",
        )


def _tasks_of(uid: int) -> int:
    """How many threads all processes of a user have, as far as they are visible here."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == uid:
                count += sum(1 for _ in (process / "task").iterdir())
        except OSError:  # it ended since
            continue
    return count
