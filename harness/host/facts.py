"""Types of the doctor: facts read from a host, what a campaign asks of it, findings. Pure.

Rule 1: None means "not readable here", never "no limit"; an absent limit is `UNLIMITED`.
Rule 2: a finding states the setting, what is needed, where it is set and who can change it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

UNLIMITED = 1 << 62

Level = Literal["ok", "note", "warning", "error"]
Scope = Literal["namespace", "process", "container", "host"]


@dataclass(frozen=True, slots=True)
class Engine:
    """The Docker engine: its versions, or why it is not available.

    Attributes:
        nofile_hard: the most open files that it can grant: the hard limit of its daemon, or
            `UNLIMITED` where the daemon may raise it (CAP_SYS_RESOURCE). None: not visible.
    """

    version: str = ""
    api: str = ""
    error: str = ""
    nofile_hard: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One reading of a host. Sysctls have their kernel names with the dots as underscores.

    Attributes:
        isolated: trials get a network namespace of their own, in which the harness sets sysctls.
        tools_missing: programs that the process backend needs and that are not installed.
        nofile_hard: RLIMIT_NOFILE of this process.
        nproc: soft RLIMIT_NPROC, which applies to a process that does not raise it.
        nproc_exempt: root and its capabilities are not counted (copy_process in kernel/fork.c).
        tasks, tasks_of_user: threads that exist, on the host and of this user.
        pids_left: tasks that the cgroup, and all above it, still admit.
        commit_left_bytes: memory that the kernel still promises where overcommit is off.
        cgroup_memory_left_bytes: memory that the cgroup, and all above it, still admit.
        has_strace, has_perf: the tools that count system calls are installed.
        has_tracepoints: the kernel's tracepoints of system calls are readable, or root may mount
            them.
        perf_exempt: this process has CAP_PERFMON or CAP_SYS_ADMIN, outside any user namespace.
        ptrace_exempt: it has CAP_SYS_PTRACE or CAP_SYS_ADMIN: a ptrace scope of 2 does not bind.
        cores: allowed CPUs, grouped by physical core.
        busy: other processes that ran during the reading: (name, share of one CPU), busiest
            first; None where some are not visible, as in a container.
        cpus_busy: in that case, the work of all CPUs during the reading, in CPUs.
        hides_load: servers get a PID namespace, in which they cannot see the load.
    """

    isolated: bool | None = None
    tools_missing: tuple[str, ...] = ()
    nofile_hard: int | None = None
    fs_nr_open: int | None = None
    fs_file_max: int | None = None
    files_open: int | None = None
    net_core_somaxconn: int | None = None
    net_ipv4_tcp_max_syn_backlog: int | None = None
    port_range: tuple[int, int] | None = None
    net_core_netdev_max_backlog: int | None = None
    softnet_dropped: int | None = None
    tcp_mem_pages: tuple[int, int, int] | None = None
    net_ipv4_tcp_max_orphans: int | None = None
    conntrack_max: int | None = None
    conntrack_count: int | None = None
    kernel_pid_max: int | None = None
    kernel_threads_max: int | None = None
    tasks: int | None = None
    pids_left: int | None = None
    nproc: int | None = None
    nproc_exempt: bool | None = None
    tasks_of_user: int | None = None
    vm_max_map_count: int | None = None
    vm_overcommit_memory: int | None = None
    commit_left_bytes: int | None = None
    fs_epoll_max_user_watches: int | None = None
    memory_available_bytes: int | None = None
    cgroup_memory_left_bytes: int | None = None
    swap_used_bytes: int | None = None
    kernel_io_uring_disabled: int | None = None
    has_strace: bool | None = None
    has_perf: bool | None = None
    has_tracepoints: bool | None = None
    perf_exempt: bool | None = None
    kernel_yama_ptrace_scope: int | None = None
    ptrace_exempt: bool | None = None
    cores: tuple[tuple[int, ...], ...] = ()
    governors: tuple[str, ...] = ()
    turbo: bool | None = None
    clocksource: str | None = None
    cgroup_version: int | None = None
    cgroup_controllers: tuple[str, ...] = ()
    engine: Engine = field(default_factory=Engine)
    disk_free_bytes: int | None = None
    load_1min: float | None = None
    busy: tuple[tuple[str, float], ...] | None = None
    cpus_busy: float | None = None
    hides_load: bool | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a campaign asks of the host.

    Attributes:
        connections: the most that any cell opens.
        backend: docker | process.
        server_cpus: physical cores for the server.
        architectures: those of the servers; some checks apply only to some of them.
        servers: number of servers up at once, each with its own connections.
        threaded: how many of them have a thread per connection; at least one is planned for.
    """

    connections: int
    backend: str
    server_cpus: int = 1
    architectures: tuple[str, ...] = ()
    servers: int = 1
    threaded: int = 1

    @property
    def has_docker(self) -> bool:
        """Whether the servers run in containers."""
        return self.backend == "docker"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        level: error: N does not fit; warning: figures would suffer; note: good to know.
        text: one sentence: what follows from the setting.
        value, needed: the setting and what N needs, as text.
        scope: where it is set. "namespace": the harness sets it itself.
        who: who can change it; empty where nothing needs a change.
        command: a command to copy; empty where nothing needs doing.
        connections_max: the largest N that this limit allows; None: it does not limit N.
        threads_max: the most threads that a server can have; None: it does not limit them.
    """

    level: Level
    text: str
    value: str = "n/a"
    needed: str = ""
    scope: Scope = "host"
    who: str = ""
    command: str = ""
    connections_max: int | None = None
    threads_max: int | None = None
    check: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it for `campaign.json` and programs; empty values are left out, zeros kept."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in values.items() if value not in (None, "")}


FIELDS = (
    *("check", "level", "text", "value", "needed", "scope", "who", "command"),
    *("connections_max", "threads_max"),
)
Judge = Callable[[Facts, Ask], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the host."""

    name: str
    question: str
    judge: Judge


def unknown(what: str, scope: Scope = "host", needed: str = "") -> Finding:
    """The finding for an unreadable fact: neither an error nor a pass."""
    return Finding("note", f"{what} cannot be read here", needed=needed, scope=scope)


def count(value: int) -> str:
    """Format a limit."""
    return "no limit" if value >= UNLIMITED else f"{value:,}"


def mib(value_bytes: float) -> str:
    """Format bytes."""
    if value_bytes >= 1 << 30:
        return f"{value_bytes / (1 << 30):,.1f} GiB"
    return f"{value_bytes / (1 << 20):,.0f} MiB"


def sysctl(name: str, value: int | str) -> str:
    """The command that sets a sysctl of the host."""
    quoted = f"'{value}'" if " " in str(value) else value
    return f"sudo sysctl -w {name}={quoted}"
