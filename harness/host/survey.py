"""Read the facts about this host that a campaign depends on. It changes nothing.

A missing or unreadable file gives None. The doctor then reports that it does not know.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.host import cpus, headroom, isolation
from harness.host.facts import UNLIMITED, Engine, Facts

PROC = Path("/proc")
SYS = Path("/sys")
# Long enough to find a busy process by ticks of 10 ms.
BUSY_INTERVAL_S = 0.5
BUSY_SHARE_MIN = 0.02
# linux/capability.h
CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_PERFMON = 19, 21, 24, 38
# user_namespaces(7): content of /proc/PID/uid_map in the first user namespace.
ALL_USERS = ["0", "0", "4294967295"]
# linux/proc_ns.h: PROC_PID_INIT_INO, the inode of the first PID namespace.
HOST_PIDS_INODE = 0xEFFFFFFC


def read(reports: Path, engine: Engine) -> Facts:
    """Read all facts for a campaign whose reports go to the directory `reports`.

    `engine` describes the Docker engine (harness/backends/docker_engine.py).

    It takes half a second, to see which other processes run.
    """
    missing = isolation.missing_tools()
    isolated = None if missing else isolation.found()
    sees_all = sees_all_processes()
    return Facts(
        isolated=None if isolated is None else isolated.namespaces is not None,
        hides_load=None if isolated is None else bool(isolated.unshare_pids),
        tools_missing=tuple(missing),
        has_strace=shutil.which("strace") is not None,
        has_perf=shutil.which("perf") is not None,
        has_tracepoints=has_tracepoints(),
        engine=engine,
        **_processors(),
        **_shared_limits(),
        disk_free_bytes=_disk_free_bytes(reports),
        load_1min=_load_1min(),
        busy=busy_processes() if sees_all else None,
        cpus_busy=None if sees_all else cpus_busy(),
    )


def limits() -> Facts:
    """Read the limits that servers share when they are up at once; takes about 10 ms."""
    return Facts(**_shared_limits())


def text(path: Path | str) -> str | None:
    """Read a file without white space at its ends; None where it is not readable."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None


def sysctl(name: str) -> str | None:
    """A sysctl's value by its dotted name."""
    return text(PROC / "sys" / name.replace(".", "/"))


def is_first_user() -> bool:
    """Whether this is the first user namespace: perf needs its capabilities there."""
    return (text(PROC / "self/uid_map") or "").split() == ALL_USERS


def has_tracepoints() -> bool:
    """Whether perf finds the tracepoints of system calls: readable, or mountable by root."""
    if os.access(SYS / "kernel/tracing/events/raw_syscalls/sys_enter/id", os.R_OK):
        return True
    known = (text(PROC / "filesystems") or "").split()
    is_mounted = (SYS / "kernel/tracing/events").is_dir()
    return not is_mounted and os.geteuid() == 0 and "tracefs" in known


def sees_all_processes() -> bool:
    """Whether /proc shows all processes of the host. A container's does not; hidepid hides some."""
    try:
        inode = (PROC / "self/ns/pid").stat().st_ino
    except OSError:
        return False
    return inode == HOST_PIDS_INODE and text(PROC / "1/stat") is not None


def _load_1min() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:  # the C library reads /proc/loadavg
        return None


def cpus_busy(interval_s: float = BUSY_INTERVAL_S) -> float | None:
    """The work of all processes of the host in the interval, in CPUs."""
    before, began = _busy_ticks(), time.monotonic()
    time.sleep(interval_s)
    after, lasted_s = _busy_ticks(), time.monotonic() - began
    if before is None or after is None:
        return None
    return max(0, after - before) / os.sysconf("SC_CLK_TCK") / lasted_s


def _busy_ticks() -> int | None:
    """Ticks of all CPUs without `idle` and `iowait`; `user` includes guests (proc_stat(5))."""
    line = (text(PROC / "stat") or "").partition("\n")[0]
    ticks = [int(word) for word in line.split()[1:9]]
    return sum(ticks) - sum(ticks[3:5]) if ticks else None


def busy_processes(interval_s: float = BUSY_INTERVAL_S) -> tuple[tuple[str, float], ...]:
    """Processes other than this one that ran in the interval: (name, share of a CPU)."""
    before, began = _ticks(), time.monotonic()
    time.sleep(interval_s)
    after, lasted_s = _ticks(), time.monotonic() - began
    per_second = os.sysconf("SC_CLK_TCK")
    shares = [
        (name, (ticks - before[pid][1]) / per_second / lasted_s)
        for pid, (name, ticks) in after.items()
        if pid in before and pid != os.getpid()
    ]
    busy = [(name, share) for name, share in shares if share >= BUSY_SHARE_MIN]
    return tuple(sorted(busy, key=lambda one: (-one[1], one[0])))


def _ticks() -> dict[int, tuple[str, int]]:
    """Name and CPU ticks of every visible process."""
    found = {}
    for directory in PROC.glob("[0-9]*"):
        line = text(directory / "stat")
        if line:
            # The name is in parentheses and may have any characters (proc_pid_stat(5)).
            name, _, rest = line.partition("(")[2].rpartition(")")
            fields = rest.split()
            found[int(directory.name)] = (name, int(fields[11]) + int(fields[12]))
    return found


def _shared_limits() -> dict[str, Any]:
    return {**_limits(), **_sysctls(), **_memory(), **_control_groups()}


def _limits() -> dict[str, Any]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    files = _numbers(sysctl("fs.file-nr"))
    capable = _capabilities(os.getpid())
    privileged = os.geteuid() == 0 or bool(capable & _bits(CAP_SYS_ADMIN, CAP_SYS_RESOURCE))
    traces = bool(capable & _bits(CAP_SYS_PTRACE, CAP_SYS_ADMIN))
    return {
        "nofile_hard": _limit(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "files_open": files[0] if files else None,
        "nproc": _limit(soft),
        "nproc_exempt": privileged,
        "tasks": _tasks(),
        "tasks_of_user": headroom.tasks_of(os.getuid()),
        "ptrace_exempt": traces,
        "perf_exempt": bool(capable & _bits(CAP_PERFMON, CAP_SYS_ADMIN)) and is_first_user(),
    }


# Field of `Facts` with one number → its sysctl.
NUMBERS = {
    "fs_nr_open": "fs.nr_open",
    "fs_file_max": "fs.file-max",
    "net_core_somaxconn": "net.core.somaxconn",
    "net_ipv4_tcp_max_syn_backlog": "net.ipv4.tcp_max_syn_backlog",
    "net_core_netdev_max_backlog": "net.core.netdev_max_backlog",
    "net_ipv4_tcp_max_orphans": "net.ipv4.tcp_max_orphans",
    "conntrack_max": "net.netfilter.nf_conntrack_max",
    "conntrack_count": "net.netfilter.nf_conntrack_count",
    "kernel_pid_max": "kernel.pid_max",
    "kernel_threads_max": "kernel.threads-max",
    "vm_max_map_count": "vm.max_map_count",
    "vm_overcommit_memory": "vm.overcommit_memory",
    "fs_epoll_max_user_watches": "fs.epoll.max_user_watches",
    "kernel_io_uring_disabled": "kernel.io_uring_disabled",
    "kernel_yama_ptrace_scope": "kernel.yama.ptrace_scope",
}


def _sysctls() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, name in NUMBERS.items():
        values = _numbers(sysctl(name))
        found[field] = values[0] if values else None
    ports = _numbers(sysctl("net.ipv4.ip_local_port_range"))
    pages = _numbers(sysctl("net.ipv4.tcp_mem"))
    found["port_range"] = ports if len(ports) == 2 else None
    found["tcp_mem_pages"] = pages if len(pages) == 3 else None
    found["softnet_dropped"] = _softnet_dropped()
    return found


def _softnet_dropped() -> int | None:
    """Packets dropped at the receive queues of all CPUs: the second column, in hexadecimal."""
    lines = text(PROC / "net/softnet_stat")
    return sum(int(line.split()[1], 16) for line in lines.splitlines()) if lines else None


def _memory() -> dict[str, Any]:
    kib = {}
    for line in (text(PROC / "meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    return {
        "memory_available_bytes": _less(kib.get("MemAvailable"), 0),
        "swap_used_bytes": _less(kib.get("SwapTotal"), kib.get("SwapFree")),
        "commit_left_bytes": _less(kib.get("CommitLimit"), kib.get("Committed_AS")),
    }


def _less(kib: int | None, used_kib: int | None) -> int | None:
    """The difference in bytes; None unless both are known."""
    return None if kib is None or used_kib is None else (kib - used_kib) << 10


def _processors() -> dict[str, Any]:
    governors = {
        value
        for path in SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
        if (value := text(path))
    }
    no_turbo = text(SYS / "devices/system/cpu/intel_pstate/no_turbo")
    boost = text(SYS / "devices/system/cpu/cpufreq/boost")
    turbo = no_turbo == "0" if no_turbo is not None else boost == "1" if boost else None
    return {
        "cores": tuple(cpus.cores_of(set(os.sched_getaffinity(0)))),
        "governors": tuple(sorted(governors)),
        "turbo": turbo,
        "clocksource": text(SYS / "devices/system/clocksource/clocksource0/current_clocksource"),
    }


def _control_groups() -> dict[str, Any]:
    """Read the cgroup version and what the cgroup still admits.

    The controllers decide: version 1 hosts often mount an empty tree of version 2 too.
    """
    root = SYS / "fs/cgroup"
    unified = text(root / "cgroup.controllers")
    pure = unified is not None
    listed = [] if pure else [path.name for path in root.iterdir()] if root.is_dir() else []
    controllers = (unified or "").split() if pure else sorted(listed)
    return {
        "cgroup_version": 2 if pure else 1 if controllers else None,
        "cgroup_controllers": tuple(controllers),
        "pids_left": _left("pids", "pids.max", "pids.current"),
        "cgroup_memory_left_bytes": _left(
            "memory",
            "memory.max" if pure else "memory.limit_in_bytes",
            "memory.current" if pure else "memory.usage_in_bytes",
        ),
    }


def _left(controller: str, limit: str, used: str) -> int | None:
    """How much this process's cgroup, and every one above it, still admits."""
    base, path = _own_cgroup(controller)
    if base is None:
        return None
    room = [UNLIMITED]
    for directory in _upwards(base / path, base):
        maximum, current = text(directory / limit), text(directory / used)
        if maximum and current and maximum != "max" and int(maximum) < UNLIMITED:
            room.append(int(maximum) - int(current))
    return min(room)


def _own_cgroup(controller: str) -> tuple[Path | None, str]:
    root = SYS / "fs/cgroup"
    for line in (text(PROC / "self/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return root / controller, path.lstrip("/")
        if not names and (root / "cgroup.controllers").is_file():
            return root, path.lstrip("/")
    return None, ""


def _upwards(directory: Path, base: Path) -> Iterator[Path]:
    while directory != base:
        yield directory
        directory = directory.parent
    yield base


def daemon_nofile() -> int | None:
    """The most open files that the engine's daemon can grant; None if it is not visible here."""
    pid = text("/run/docker.pid") or ""
    if not pid.isdigit() or text(PROC / pid / "comm") != "dockerd":
        return None  # another PID namespace, or another host
    if _capabilities(int(pid)) & _bits(CAP_SYS_RESOURCE):
        return UNLIMITED
    for line in (text(PROC / pid / "limits") or "").splitlines():
        if line.startswith("Max open files"):
            hard = line.split()[4]
            return UNLIMITED if hard == "unlimited" else int(hard)
    return None


def _capabilities(pid: int) -> int:
    """The effective capabilities as a mask."""
    for line in (text(PROC / str(pid) / "status") or "").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _bits(*capabilities: int) -> int:
    return sum(1 << capability for capability in capabilities)


def _tasks() -> int | None:
    """Count all threads of the host: the second number of the fourth field of /proc/loadavg."""
    line = text(PROC / "loadavg")
    return int(line.split()[3].split("/")[1]) if line else None


def _disk_free_bytes(directory: Path) -> int | None:
    """Free bytes of the file system that holds `directory`, which may not exist yet."""
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None


def _numbers(value: str | None) -> tuple[int, ...]:
    return tuple(int(word) for word in (value or "").split())


def _limit(value: int) -> int:
    return UNLIMITED if value == resource.RLIM_INFINITY else value
