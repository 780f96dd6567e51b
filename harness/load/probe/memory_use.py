"""Memory of the server: anonymous user memory, thread stacks, and a fallback for the kernel's part.

It is read while the connections are open and silent: the reading walks every page table of the
server (and takes its mmap lock), which no timed window should contain, and what lies in socket
buffers for a moment under load would make the figure a matter of chance.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.host import procfs

KERNEL_SOURCE = "slab-half"

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# THREAD_SIZE: 16 KiB on x86-64 (page_64_types.h) and on arm64, there at least one page (memory.h)
KERNEL_STACK_BYTES = max(16384, PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that the server holds. `kernel` is the slab-half estimate, `sockets` is not known here.

    kernel: page tables and kernel stacks of the server, and `slab`. The cgroup's figures replace it
    where the harness can read them.
    slab: half of what the host's slab grew by since the baseline: both ends of each connection live
    in this kernel and cost the same objects. Below zero where others gave back more than that.
    """

    user: int
    stack: int
    kernel: int
    sockets: int | None = None
    slab: int | None = None

    def as_json(self) -> dict[str, int | None]:
        """The record's `memory_bytes`."""
        return asdict(self)


def slab_bytes() -> int | None:
    """All slab memory of the host; sockets' inodes and dentries count as reclaimable in it.

    None where the kernel does not show it.
    """
    try:
        return procfs.sizes(Path("/proc/meminfo").read_text()).get("Slab")
    except OSError:
        return None


def read(pids: Iterable[int], slab_baseline_bytes: int | None) -> Memory:
    """Measure the processes; those that ended hold nothing.

    Raises OSError when not permitted, or when the slab is not shown.
    """
    user = stack = kernel = 0
    for pid in pids:
        try:
            one = _read_one(Path(f"/proc/{pid}"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        user, stack, kernel = user + one.user, stack + one.stack, kernel + one.kernel
    slab_now_bytes = slab_bytes()
    if slab_now_bytes is None or slab_baseline_bytes is None:
        raise FileNotFoundError(errno.ENOENT, "the host's slab is not shown", "/proc/meminfo")
    half_bytes = (slab_now_bytes - slab_baseline_bytes) // 2
    return Memory(user, stack, kernel + half_bytes, slab=half_bytes)


def _read_one(directory: Path) -> Memory:
    """One process, without its share of the slab."""
    stat = procfs.process_stat((directory / "stat").read_text())
    rollup = procfs.sizes((directory / "smaps_rollup").read_text())
    # Processes that share pages after fork() must not count them twice: Pss divides them
    anonymous = rollup.get("Pss_Anon", rollup["Anonymous"])
    stack = 0
    if stat.threads > 1:
        stack = procfs.stack_bytes((directory / "smaps").read_text(), PAGE_BYTES)
    page_tables = procfs.task_status((directory / "status").read_text()).page_tables_bytes
    return Memory(anonymous - stack, stack, page_tables + stat.threads * KERNEL_STACK_BYTES)
