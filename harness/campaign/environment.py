"""What a campaign ran on, as far as it bears on its figures."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from harness.host import compilers, cpus, git, survey
from harness.host.cpus import CpuSplit

# Trials measured under different values of these are not of one campaign.
IDENTITY = (
    *("kernel", "machine", "cpu_model", "cpus_server", "cpus_load"),
    *("cores", "governors", "mitigations", "sysctls"),
    *("harness", "harness_source", "engine_build"),
    *("backend", "backend_base", "backend_isolated"),
)
# Of the host as a whole, so no namespace has its own; those of the namespace are in every cell.
HOST_SYSCTLS = (
    *("net.core.netdev_max_backlog", "net.ipv4.tcp_mem", "net.ipv4.tcp_max_orphans"),
    "net.ipv4.tcp_congestion_control",  # a new network namespace has that of the host's first one
    *("kernel.pid_max", "kernel.threads-max", "kernel.perf_event_paranoid"),
    *("kernel.io_uring_disabled", "kernel.randomize_va_space", "kernel.sched_autogroup_enabled"),
    *("vm.max_map_count", "vm.overcommit_memory", "fs.nr_open", "fs.file-max"),
)
ULIMITS = {
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "memlock": resource.RLIMIT_MEMLOCK,
    "stack": resource.RLIMIT_STACK,
}
LIBRARIES = ("locust", "gevent", "hdrhistogram", "pandas")


def collect(
    backend: str, split: CpuSplit, allowed: Iterable[int], facts: Mapping[str, object]
) -> dict[str, object]:
    """Facts about host, backend (`facts` is its own part) and harness.

    `allowed` are the CPUs that the harness was started with: those that it may use now are fewer,
    once it has left the server's.
    """
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu_model": _cpu_model(),
        "cpus_online": os.cpu_count(),
        "cpus_server": list(split.server),
        "cpus_load": list(split.load),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "cores": [list(core) for core in cpus.cores_of(set(allowed))],
        "virtualised": "hypervisor" in _cpu_flags(),
        "board": _board(),
        "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "governors": _governors(),
        "smt": _read("/sys/devices/system/cpu/smt/control"),
        "mitigations": _mitigations(),
        "cgroups": _cgroups(),
        "sysctls": {name: survey.sysctl(name) for name in HOST_SYSCTLS},
        "ulimits": {name: list(resource.getrlimit(limit)) for name, limit in ULIMITS.items()},
        "engine_build": compilers.engine_producer(),
        "backend": backend,
        **{f"backend_{name}": value for name, value in facts.items()},
        "harness": version("c10k"),
        "harness_source": compilers.harness_digest(),
        "git": git.description(Path(__file__).parent),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Sentences on what differs of the facts that trials of one campaign must share."""
    one, other = _named(before), _named(now)
    return [
        f"{name} was {one.get(name)!r} and is {other.get(name)!r}"
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    ]


def _named(facts: Mapping[str, object]) -> dict[str, object]:
    """The facts that trials of one campaign must share; those of a table by its name and theirs."""
    named: dict[str, object] = {}
    for name in IDENTITY:
        fact = facts.get(name)
        if isinstance(fact, Mapping):
            named |= {f"{name}: {key}": value for key, value in fact.items()}
        else:
            named[name] = fact
    return named


def _mitigations() -> dict[str, str]:
    """What the kernel does about each flaw of the CPU: system calls cost by it."""
    directory = Path("/sys/devices/system/cpu/vulnerabilities")
    return {path.name: _read(str(path)) for path in sorted(directory.glob("*"))}


def _governors() -> list[str]:
    pattern = "cpu[0-9]*/cpufreq/scaling_governor"
    return sorted({_read(str(path)) for path in Path("/sys/devices/system/cpu").glob(pattern)})


def _board() -> str:
    """Who made the machine, which for a virtual one is its hypervisor."""
    names = (survey.text(f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
    return " ".join(name for name in names if name) or "n/a"


def _cgroups() -> str:
    """`v2`, `v1`, or `v1 and v2` where both are mounted."""
    root = Path("/sys/fs/cgroup")
    has_v1 = any((root / name).is_dir() for name in ("cpu", "cpu,cpuacct", "memory"))
    unified = (root / "cgroup.controllers").is_file()
    has_v2 = unified or (root / "unified" / "cgroup.controllers").is_file()
    return " and ".join([*["v1"] * has_v1, *["v2"] * has_v2]) or "n/a"


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo", default="").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    for line in _read("/proc/cpuinfo", default="").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return set(value.split())
    return set()


def _read(path: str, default: str = "n/a") -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return default
