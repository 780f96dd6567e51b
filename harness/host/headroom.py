"""Check the limits of the harness's own process before anything is measured.

Without this check a report fails after the campaign. A limit of addresses ends the process that
draws the charts by SIGTRAP, one of tasks by a failed fork. OpenBLAS, which NumPy loads, ends the
process at its import, or sends it SIGINT.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from harness.contract.errors import HostNotFit

# V8 draws the charts and reserves 64 GiB of addresses (VmPeak of one chart: 64.4 GiB).
ADDRESS_SPACE_BYTES = 80 << 30
# NumPy's OpenBLAS reserves some for each CPU (0.7 GiB for pandas and NumPy on two CPUs).
IMPORTS_BYTES = 4 << 30
# Threads of the harness and of V8, the load and its fork server, tools that start a server.
TASKS = 64
GIB = 1 << 30


def require() -> None:
    """Raise the limit of addresses to its hard limit, for a report.

    Raises:
        HostNotFit: it is too low.
    """
    require_addresses(_addresses(), ADDRESS_SPACE_BYTES, "drawing a report")


def require_imports() -> None:
    """Raise the limit of addresses to its hard limit, for a command that computes or measures.

    Raises:
        HostNotFit: it, or the limit of tasks, is too low.
    """
    require_addresses(_addresses(), IMPORTS_BYTES, "loading pandas and NumPy")
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if os.geteuid() != 0 and limit != resource.RLIM_INFINITY:  # root has no such limit
        require_tasks(limit, tasks_of(os.getuid()))


def _addresses() -> int:
    """Raise the limit of addresses to its hard limit, and return it in bytes."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return hard


def require_addresses(limit_bytes: int, needed_bytes: int, what: str) -> None:
    """Raise HostNotFit where `what` reserves more addresses than this process may have."""
    if limit_bytes != resource.RLIM_INFINITY and limit_bytes < needed_bytes:
        raise HostNotFit(
            f"this process may use {limit_bytes / GIB:.1f} GiB of addresses (RLIMIT_AS); {what} "
            f"reserves {needed_bytes // GIB} GiB, and uses little of it",
            hint="`ulimit -v unlimited`, or start c10k from a shell without that limit.",
        )


def require_tasks(limit: int, used: int) -> None:
    """Raise HostNotFit where the user has too few processes and threads left."""
    if limit != resource.RLIM_INFINITY and limit - used < TASKS:
        raise HostNotFit(
            f"this user may have {limit} processes and threads (RLIMIT_NPROC) and has {used}; "
            f"c10k needs {TASKS} more",
            hint=f"`ulimit -u {used + 2 * TASKS}`, or more.",
        )


def tasks_of(uid: int) -> int:
    """Count the threads of all visible processes of a real user id."""
    threads = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines = (process / "status").read_text(errors="replace").splitlines()
        except OSError:  # it has ended
            continue
        status = dict(line.split(":", 1) for line in lines)
        if status.get("Uid", "").split()[:1] == [str(uid)]:
            threads += int(status.get("Threads", "0"))
    return threads
