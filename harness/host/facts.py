"""What the doctor judges: facts about a host as they were read, and what is asked of it. Pure.

Rule 1: None is "could not be read here", never "no limit": a limit that is absent is `UNLIMITED`.
Rule 2: a finding says what is set, what is needed, whose setting it is and who can change it.
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
    """The Docker engine: its versions, or why there is none.

    Attributes:
        nofile_hard: the most open files that it can grant: the hard limit of its daemon, or
            `UNLIMITED` where the daemon may raise it (CAP_SYS_RESOURCE). None: not to be seen.
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
        tools_missing: programs that the process backend starts, and that are not installed.
        nofile_hard: RLIMIT_NOFILE of this process.
        nproc: RLIMIT_NPROC, soft, which is what holds for a process that does not raise it.
        nproc_exempt: root and its capabilities are not counted (copy_process in kernel/fork.c).
        tasks, tasks_of_user: threads that exist, on the host and of this user.
        pids_left: tasks that the cgroup, and all above it, still admit.
        commit_left_bytes: what may still be promised where overcommit is off.
        cgroup_memory_left_bytes: memory that the cgroup, and all above it, still admit.
        has_strace, has_perf: the tools that count system calls are installed.
        has_tracepoints: the kernel's tracepoints of system calls are there to read, or root may
            mount them.
        perf_exempt: CAP_PERFMON or CAP_SYS_ADMIN is held here, outside any user namespace.
        ptrace_exempt: CAP_SYS_PTRACE or CAP_SYS_ADMIN is held here: a scope of 2 binds no more.
        cores: allowed CPUs, those of one physical core together.
        busy: other processes that ran just now: (name, share of one CPU), the busiest first; None
            where not all of the host's can be seen, as in a container.
        cpus_busy: then what all CPUs together did just now, in CPUs.
        hides_load: servers get a PID namespace, in which they do not see the load.
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
    """What a campaign would ask of the host.

    Attributes:
        connections: the most that any of its cells opens.
        backend: docker | process.
        server_cpus: physical cores for the server.
        architectures: of the variants, for what only some of them need.
        servers: how many of them are up at once, each with its own connections.
        threaded: how many of those have a thread per connection; one is always planned for.
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
    """What one check found.

    Attributes:
        level: error: N does not fit; warning: figures would suffer; note: good to know.
        text: one sentence: what follows from what is set.
        value, needed: what is set and what N needs, as text.
        scope: whose setting it is. "namespace": the harness sets it itself.
        who: who can change it; empty where there is nothing to change.
        command: what to type, ready to copy; empty where there is nothing to do.
        connections_max: the largest N that this limit allows; None: it does not bind N.
        threads_max: the most threads that a server can have; None: it does not bind them.
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
        """For `campaign.json` and for programs; what is empty is left out, but never a zero."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in values.items() if value not in (None, "")}


FIELDS = (
    *("check", "level", "text", "value", "needed", "scope", "who", "command"),
    *("connections_max", "threads_max"),
)
Judge = Callable[[Facts, Ask], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the host."""

    name: str
    question: str
    judge: Judge


def unknown(what: str, scope: Scope = "host", needed: str = "") -> Finding:
    """The finding where a fact could not be read: no reason to refuse, and not passed either."""
    return Finding("note", f"{what} cannot be read here", needed=needed, scope=scope)


def count(value: int) -> str:
    """A limit as text."""
    return "no limit" if value >= UNLIMITED else f"{value:,}"


def mib(value_bytes: float) -> str:
    """Bytes as text."""
    if value_bytes >= 1 << 30:
        return f"{value_bytes / (1 << 30):,.1f} GiB"
    return f"{value_bytes / (1 << 20):,.0f} MiB"


def sysctl(name: str, value: int | str) -> str:
    """The command that sets a sysctl of the host."""
    quoted = f"'{value}'" if " " in str(value) else value
    return f"sudo sysctl -w {name}={quoted}"
