"""Check what affects the figures rather than N: CPUs, clocks, other processes, what is observable.

A host as its distribution installs it gets a warning only for what changes a figure. Everything
else that is good to know is a note.
"""

from __future__ import annotations

from harness.doctor.connections import ROOT
from harness.host.facts import Ask, Check, Facts, Finding, Level, count, mib, sysctl, unknown

DISK_MIN_BYTES = 50 << 20
DISK_GOOD_BYTES = 500 << 20
SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies")
# Share of one CPU that other processes may use: a trial uses two CPUs, and is noisy above 5 %.
BUSY_MAX = 0.10
SWAPPED_MAX_BYTES = 64 << 20
# Above this scope a process may trace only its descendants (Yama), and the load did not start the
# server.
PTRACE_SCOPE_MAX = 0
# The same with CAP_SYS_PTRACE, which the load has in its container; above it no process may trace.
PTRACE_SCOPE_MAX_CAPABLE = 2


def isolation(facts: Facts, ask: Ask) -> Finding:
    """Check that each trial gets a network namespace."""
    if ask.has_docker:
        return Finding("ok", "each trial has a network of its own", "yes", "yes", "container")
    if facts.tools_missing:
        return Finding(
            "error",
            f"not found: {', '.join(facts.tools_missing)}",
            *("missing", "util-linux", "host", ROOT),
            "sudo apt-get install util-linux",
        )
    if facts.isolated is None:
        return unknown("whether network namespaces can be made", "process", "yes")
    if facts.isolated:
        return Finding("ok", "each trial has a network of its own", "yes", "yes", "process")
    level: Level = "warning"
    follows = "servers run on the host's loopback, with its limits"
    if ask.servers > 1:
        level, follows = "error", "servers that run side by side need one each"
    return Finding(
        level,
        f"network namespaces cannot be made and used: {follows}",
        *("no", "yes", "host", ROOT),
        "sudo sysctl -w kernel.unprivileged_userns_clone=1 "
        "kernel.apparmor_restrict_unprivileged_userns=0",
    )


def guard(facts: Facts, ask: Ask) -> Finding:
    """Check that a server cannot read, stop or end the load."""
    if ask.has_docker:
        text = "servers run as another user, which has no rights over the load"
        return Finding("ok", text, "yes", "yes", "container")
    if facts.hides_load is None:
        return unknown("whether the load can be hidden from servers", "process", "yes")
    if facts.hides_load:
        text = "a server has the load's user, but cannot see the load"
        return Finding("ok", text, "yes", "yes", "process")
    return Finding(
        "note",
        "PID namespaces are refused: servers have the load's user and can read, stop and end it",
        *("no", "yes", "host", ROOT),
        "c10k run --backend docker",
    )


def netdev_backlog(facts: Facts, ask: Ask) -> Finding:
    """Check net.core.netdev_max_backlog, loopback's queue per CPU: the kernel drops the excess."""
    limit, dropped = facts.net_core_netdev_max_backlog, facts.softnet_dropped or 0
    if limit is None:
        return unknown("net.core.netdev_max_backlog", needed=f"{ask.connections:,}")
    value = f"{limit:,}, {dropped:,} packets dropped since boot"
    if limit >= ask.connections:
        text = "loopback's queue of each CPU holds a packet of every connection"
        return Finding("ok", text, value, f"{ask.connections:,}")
    return Finding(
        "warning",
        "loopback drops packets when all connections send at once, and makes such cells noisy",
        value,
        f"{ask.connections:,}",
        who=ROOT,
        command=sysctl("net.core.netdev_max_backlog", ask.connections),
    )


def cpus(facts: Facts, ask: Ask) -> Finding:
    """Check for physical cores: some for the server, one for the load; otherwise hyper-threads."""
    needed = ask.server_cpus + 1
    if not facts.cores:
        return unknown("the topology of the CPUs", "process", f"{needed} cores")
    siblings = sum(len(core) - 1 for core in facts.cores)
    value = f"{len(facts.cores)} cores, {siblings} of them with a sibling"
    if len(facts.cores) < needed:
        level: Level = "error" if len(facts.cores) + siblings < needed else "warning"
        text = f"{needed} CPUs are needed: {ask.server_cpus} for the server, one for the load"
        if level == "warning":
            text = (
                "too few physical cores: server and load run on hyper-threads of one core and slow "
                "each other down, so only ratios are meaningful"
            )
        return Finding(
            level,
            text,
            *(value, f"{needed} cores", "process", "the user of the harness"),
            "taskset --cpu-list --pid $$",
        )
    text = "siblings of the server's cores stay idle" if siblings else "no core has a sibling"
    return Finding("ok", text, value, f"{needed} cores", "process")


def governor(facts: Facts, ask: Ask) -> Finding:
    """Check the CPUs' clock: one that follows the load makes an idle server look slow."""
    boost = {True: ", turbo on", False: ", turbo off", None: ""}[facts.turbo]
    if not facts.governors:
        return Finding("ok", f"this system does not set the clock{boost}", "n/a")
    value = ", ".join(facts.governors) + boost
    if facts.governors == ("performance",):
        return Finding("ok", "the clock of the CPUs does not follow the load", value, "performance")
    return Finding(
        "warning",
        "the clock of the CPUs follows the load: a server that waits a lot looks too slow",
        value,
        "performance",
        who=ROOT,
        command="echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def clock(facts: Facts, ask: Ask) -> Finding:
    """Check the clock that times windows and latencies."""
    if facts.clocksource is None:
        return unknown("the clock source")
    if facts.clocksource not in SLOW_CLOCKS:
        return Finding("ok", "reading the clock takes no system call", facts.clocksource)
    return Finding(
        "warning",
        "reading this clock takes microseconds, which every latency includes",
        facts.clocksource,
        "tsc",
        who=ROOT,
        command="echo tsc | sudo tee "
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    )


def swap(facts: Facts, ask: Ask) -> Finding:
    """Check for swap in use: reading a server's pages back is latency."""
    used = facts.swap_used_bytes
    if used is None:
        return unknown("swap")
    if used <= SWAPPED_MAX_BYTES:
        return Finding("ok", "almost no memory is swapped out", f"{mib(used)} used")
    return Finding(
        "warning",
        "memory is swapped out: reading it back during a window adds the disk's latency",
        f"{mib(used)} used",
        f"{mib(SWAPPED_MAX_BYTES)} or less",
        who=ROOT,
        command="sudo swapoff --all && sudo swapon --all",
    )


def busy(facts: Facts, ask: Ask) -> Finding:
    """Check for other processes that run now."""
    if facts.busy is not None:
        total = sum(share for _, share in facts.busy)
        calm = "no other process uses much CPU"
        named = ", ".join(f"{name} ({share:.0%})" for name, share in facts.busy[:3])
    elif facts.cpus_busy is not None:
        total = facts.cpus_busy
        calm = "the CPUs are idle; the host's processes are not visible from here"
        named = "they are not visible from here"
    else:
        return unknown("the CPU use of other processes")
    load = "" if facts.load_1min is None else f", load average {facts.load_1min:.2f}"
    value = f"{total:.0%} of a CPU{load}"
    if total <= BUSY_MAX:
        return Finding("ok", calm, value, f"{BUSY_MAX:.0%} or less")
    return Finding(
        "warning",
        f"other processes run, and a campaign would measure them too: {named}",
        value,
        f"{BUSY_MAX:.0%} or less",
        who="the users who started them",
        command="top",
    )


def docker(facts: Facts, ask: Ask) -> Finding:
    """Check the engine, which only the Docker backend needs."""
    engine = facts.engine
    if not engine.error:
        value = f"{engine.version}, API {engine.api}"
        return Finding("ok", "the engine answers", value, scope="container")
    if not ask.has_docker:
        text = "no engine answers; this backend needs none"
        return Finding("note", text, "none", scope="container")
    return Finding(
        "error",
        engine.error,
        *("none", "an engine", "container", "the user of the harness"),
        "c10k run --backend process",
    )


def cgroups(facts: Facts, ask: Ask) -> Finding:
    """Check which cgroup reports the kernel memory of a server."""
    version = facts.cgroup_version
    if version is None:
        return unknown("the version of the control groups")
    value, wanted = f"version {version}", "version 2 with memory"
    if version == 2 and "memory" in facts.cgroup_controllers and ask.has_docker:
        text = "the server's cgroup reports its kernel memory"
        return Finding("ok", text, value, wanted)
    text = "the kernel memory of a server is an estimate: half of the growth of the host's slab"
    return Finding("note", text, value, wanted)


def io_uring(facts: Facts, ask: Ask) -> Finding:
    """Check kernel.io_uring_disabled, only for servers that use io_uring."""
    disabled = facts.kernel_io_uring_disabled or 0
    value = count(disabled)
    wanted = [name for name in ask.architectures if name.startswith(("io_uring", "io-uring"))]
    if not wanted or not disabled:
        text = "io_uring may be used" if not disabled else "no server here uses io_uring"
        return Finding("ok", text, value, "0")
    return Finding(
        "warning",
        "io_uring is switched off: servers that use it cannot start",
        *(value, "0", "host", ROOT),
        sysctl("kernel.io_uring_disabled", 0),
    )


def xray(facts: Facts, ask: Ask) -> Finding:
    """Check the tools that can count system calls in an x-ray; the first usable one counts."""
    scope = facts.kernel_yama_ptrace_scope or 0
    tool = "its image's" if ask.has_docker else "found" if facts.has_strace else "not found"
    perf = "found" if facts.has_perf and not ask.has_docker else "not found"
    value = f"strace {tool}, ptrace_scope {scope}, perf {perf}"
    needed = f"strace and ptrace_scope {_scope_max(facts, ask)} or less, or perf as root"
    no_strace, command = _no_strace(facts, ask, scope)
    no_perf = _no_perf(facts, ask)
    if not no_strace:
        return Finding("ok", "system calls can be counted, by strace", value, needed)
    if not no_perf:
        return Finding("ok", f"system calls can be counted, by perf: {no_strace}", value, needed)
    text = f"the columns of system calls show n/a: {no_strace}; {no_perf}"
    return Finding("note", text, value, needed, "host", ROOT, command)


def _no_strace(facts: Facts, ask: Ask, scope: int) -> tuple[str, str]:
    """Why strace cannot count, and the command that corrects it; both empty if it can."""
    if not ask.has_docker and not facts.has_strace:
        return "strace is not installed", "sudo apt-get install strace"
    if scope <= _scope_max(facts, ask):
        return "", ""
    mend = sysctl("kernel.yama.ptrace_scope", _scope_max(facts, ask))
    return "strace may not attach to a server", mend


def _scope_max(facts: Facts, ask: Ask) -> int:
    """The largest kernel.yama.ptrace_scope with which strace may attach to a server."""
    is_capable = facts.ptrace_exempt or ask.has_docker
    return PTRACE_SCOPE_MAX_CAPABLE if is_capable else PTRACE_SCOPE_MAX


def _no_perf(facts: Facts, ask: Ask) -> str:
    """Why perf cannot count; empty if it can."""
    if ask.has_docker:
        return "a container may not use perf"
    if not facts.has_perf:
        return "perf is not installed"
    if not facts.perf_exempt:
        return "perf needs root (CAP_PERFMON)"
    return "" if facts.has_tracepoints else "perf finds no tracepoints (tracefs) here"


def disk(facts: Facts, ask: Ask) -> Finding:
    """Check the free space for reports."""
    free = facts.disk_free_bytes
    if free is None:
        return unknown("the free space for reports", needed=mib(DISK_GOOD_BYTES))
    if free >= DISK_GOOD_BYTES:
        return Finding("ok", "there is room for reports", f"{mib(free)} free", mib(DISK_GOOD_BYTES))
    level: Level = "warning" if free >= DISK_MIN_BYTES else "error"
    text = "the disk of the reports is nearly full"
    who = "the users of the disk"
    needed = mib(DISK_GOOD_BYTES)
    command = "du -sh reports/*"
    return Finding(level, text, f"{mib(free)} free", needed, "host", who, command)


CHECKS = (
    Check("isolation", "Does each trial get its own network?", isolation),
    Check("guard", "Is the load protected from servers?", guard),
    Check("netdev-backlog", "Does loopback's queue hold a burst?", netdev_backlog),
    Check("cpus", "Is there a core for the server and one for the load?", cpus),
    Check("governor", "Do the CPUs keep their clock?", governor),
    Check("clock", "Is the clock quick to read?", clock),
    Check("swap", "Is memory swapped out?", swap),
    Check("docker", "Does a Docker engine answer?", docker),
    Check("cgroups", "Which cgroup reports the server's kernel memory?", cgroups),
    Check("io-uring", "May servers use io_uring?", io_uring),
    Check("x-ray", "May the harness count system calls?", xray),
    Check("disk", "Is there room for reports?", disk),
    Check("busy", "Do other processes use the CPUs?", busy),
)
