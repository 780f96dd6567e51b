"""Read a container's cgroups from the host's `/sys/fs/cgroup`, version 1 and 2.

Probed per controller, not per version: hybrid hosts mount version 1 controllers beside an empty
version 2 tree. A path that does not exist is not an error: the figure is then not available.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# "No limit" is the greatest multiple of a page; the page size differs between architectures.
UNLIMITED = 1 << 62
# Other containers come and go while the directories are walked.
WALKS_MAX = 20


@dataclass(frozen=True, slots=True)
class KernelMemory:
    """Kernel memory charged to a cgroup, socket buffers apart (bytes), and where it was read."""

    kernel: int
    sockets: int | None
    source: str


def kernel_memory(container: str, root: Path = ROOT) -> KernelMemory | None:
    """Kernel memory of the container with the full id `container`; None if nobody tells."""
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
    """In how many periods a CPU quota stopped the container, or any cgroup around it, so far."""
    for base in _cpu_bases(root):
        directory = find(base, container)
        if directory is not None:
            return _throttled_up_to(directory, base)
    return None


def throttled_here(root: Path = ROOT, proc: Path = Path("/proc/self/cgroup")) -> int | None:
    """The same for this process's own cgroup, in which servers of the process backend run."""
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
    """How many processes of this process's own cgroup the kernel has killed for lack of memory.

    0 where it does not count them.
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
    """The figure of that name in a file of names and figures."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return None
    return next((int(value) for name, value in lines if name == wanted), None)


def _cpu_bases(root: Path) -> tuple[Path, ...]:
    return (root / "cpu", root / "cpu,cpuacct", root, root / "unified")


def _throttled_up_to(directory: Path, base: Path) -> int | None:
    """`nr_throttled` of `directory` and of all above it, up to `base`; None where none has it.

    A quota counts only where it is set, and stops all below it.
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
    """The container's directory below `base`: cgroupfs and systemd drivers name it differently."""
    for candidate in (
        base / "docker" / container,
        base / "system.slice" / f"docker-{container}.scope",
    ):
        if candidate.is_dir():
            return candidate
    # A rootless engine or one with a --cgroup-parent: anywhere below, but rarely deep.
    for pattern in (f"*/{container}", f"*/*/{container}", f"*/*/*/*/docker-{container}.scope"):
        for candidate in _below(base, pattern):
            return candidate
    return None


def _below(base: Path, pattern: str) -> list[Path]:
    """The directories that fit; a group that ends during the walk makes it begin again."""
    for _ in range(WALKS_MAX):
        try:
            return list(base.glob(pattern))
        except OSError:
            continue
    return []


def _read_v1(directory: Path) -> tuple[int, int | None] | None:
    """Version 1 charges sockets, struct and buffers, only where a limit for TCP is set.

    Without one (mem_cgroup_sockets_enabled in mm/memcontrol.c) the greater part of what an idle
    connection costs is charged to nobody, so the figure would be wrong by a factor: none is given.
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
