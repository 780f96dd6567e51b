"""Read a container's cgroups from the host's `/sys/fs/cgroup`, version 1 and 2.

Each controller is looked up by itself: hybrid hosts mount version 1 controllers and an empty
version 2 tree. A missing path is not an error: the figure is then not available.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# "No limit" is the greatest multiple of a page; the page size differs between architectures.
UNLIMITED = 1 << 62
# Directories of other containers may disappear during a walk.
WALKS_MAX = 20


@dataclass(frozen=True, slots=True)
class KernelMemory:
    """Kernel memory charged to a cgroup without socket buffers (bytes), and its source."""

    kernel: int
    sockets: int | None
    source: str


def kernel_memory(container: str, root: Path = ROOT) -> KernelMemory | None:
    """Kernel memory of the container with full id `container`; None if no cgroup reports it."""
    for source, base, read in (
        ("cgroup-v1", root / "memory", _read_v1),
        ("cgroup-v2", root, _read_v2),
        ("cgroup-v2", root / "unified", _read_v2),
    ):
        directory = find(base, container)
        if directory is not None:
            figures = read(directory)
            if figures is not None:
                kernel, sockets = figures
                return KernelMemory(kernel, sockets, source)
    return None


def throttled(container: str, root: Path = ROOT) -> int | None:
    """Count the periods in which a CPU quota stopped the container or a cgroup above it."""
    for base in _cpu_bases(root):
        directory = find(base, container)
        if directory is not None:
            return _throttled_up_to(directory, base)
    return None


def throttled_here(root: Path = ROOT, proc: Path = Path("/proc/self/cgroup")) -> int | None:
    """The same count for this process's cgroup, in which the process backend runs servers."""
    for line in proc.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for base in _cpu_bases(root):
            # Inside a container the mount shows the container's own cgroup as the root
            for directory in (base / path.lstrip("/"), base):
                found = _throttled_up_to(directory, base) if directory.is_dir() else None
                if found is not None:
                    return found
    return None


def oom_kills_here(root: Path = ROOT, proc: Path = Path("/proc/self/cgroup")) -> int:
    """Count the processes of this process's cgroup that the kernel killed for lack of memory.

    0 where the kernel does not count them.
    """
    for line in proc.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        # Inside a container the mount shows the container's own cgroup as the root
        for base in (root / "memory", root, root / "unified"):
            for directory in (base / path.lstrip("/"), base):
                for name in ("memory.oom_control", "memory.events"):
                    if (found := _member(directory / name, "oom_kill")) is not None:
                        return found
    return 0


def _member(path: Path, wanted: str) -> int | None:
    """The value of `wanted` in a file of names and values; None if it is absent."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return None
    return next((int(value) for name, value in lines if name == wanted), None)


def _cpu_bases(root: Path) -> tuple[Path, ...]:
    return (root / "cpu", root / "cpu,cpuacct", root, root / "unified")


def _throttled_up_to(directory: Path, base: Path) -> int | None:
    """Sum `nr_throttled` from `directory` up to `base`; None where no level has it.

    The kernel counts only at the level that sets the quota. A quota stops everything below it.
    """
    total: int | None = None
    for level in (directory, *directory.parents):
        try:
            text = (level / "cpu.stat").read_text()
        except OSError:
            text = ""
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "nr_throttled":
                total = (total or 0) + int(value)
        if level == base:
            break
    return total


def find(base: Path, container: str) -> Path | None:
    """Find the container's directory below `base`: cgroupfs and systemd drivers differ in names."""
    for candidate in (
        base / "docker" / container,
        base / "system.slice" / f"docker-{container}.scope",
    ):
        if candidate.is_dir():
            return candidate
    # A rootless engine, or one with a --cgroup-parent, uses other places, rarely deep ones.
    for pattern in (f"*/{container}", f"*/*/{container}", f"*/*/*/*/docker-{container}.scope"):
        for candidate in _below(base, pattern):
            return candidate
    return None


def _below(base: Path, pattern: str) -> list[Path]:
    """List the matching directories; start again if a cgroup ends during the walk."""
    for _ in range(WALKS_MAX):
        try:
            return list(base.glob(pattern))
        except OSError:
            continue
    return []


def _read_v1(directory: Path) -> tuple[int, int | None] | None:
    """Read version 1. It charges sockets, struct and buffers, only where a limit for TCP is set.

    Without one (mem_cgroup_sockets_enabled in mm/memcontrol.c), the kernel charges most of an idle
    connection's cost to no cgroup. The figure would be wrong by a factor, so the result is None.
    """
    kernel = _number(directory / "memory.kmem.usage_in_bytes")
    limit = _number(directory / "memory.kmem.tcp.limit_in_bytes")
    if kernel is None or limit is None or limit >= UNLIMITED:
        return None
    return kernel, _number(directory / "memory.kmem.tcp.usage_in_bytes")


def _read_v2(directory: Path) -> tuple[int, int | None] | None:
    try:
        text = (directory / "memory.stat").read_text()
    except OSError:
        return None
    stat = {name: int(value) for name, value in (line.split() for line in text.splitlines())}
    sockets = stat.get("sock")
    if "kernel" in stat:  # Linux 5.18; it does not include `sock`
        return stat["kernel"], sockets
    parts = ("kernel_stack", "pagetables", "percpu", "vmalloc", "slab")
    if "slab" not in stat:
        return None
    return sum(stat.get(part, 0) for part in parts), sockets


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
