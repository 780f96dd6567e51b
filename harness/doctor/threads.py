"""Check the limits on the threads of a server. The kernel answers EAGAIN at each of them.

None of these is an error: they do not affect a server without a thread per connection. For one that
needs them, the finding says at how many threads the host stops it.
"""

from __future__ import annotations

from harness.doctor.connections import ROOT
from harness.host.facts import (
    UNLIMITED,
    Ask,
    Check,
    Facts,
    Finding,
    Scope,
    count,
    mib,
    sysctl,
    unknown,
)
from harness.plan.limits import NOFILE_MARGIN

# Each thread's stack is a mapping, and its guard page another (pthread_create). The rest is for the
# program and its libraries.
MAPPINGS_PER_THREAD = 2
MAPPINGS_OF_PROGRAM = 200
# Address space that a thread of our servers reserves: a stack of 64 KiB and its guard.
STACK_BYTES = 68 << 10


def bounded(
    name: str,
    allowed: int,
    ask: Ask,
    *,
    value: str,
    needed: str,
    command: str,
    scope: Scope = "host",
    who: str = ROOT,
) -> Finding:
    """A warning if a thread for each connection does not fit, otherwise ok."""
    if allowed >= UNLIMITED:
        return Finding("ok", f"{name} is enough", value, needed, scope)
    allowed = max(0, allowed)
    if allowed >= ask.connections + NOFILE_MARGIN:
        return Finding("ok", f"{name} is enough", value, needed, scope, threads_max=allowed)
    which = "a server" if ask.threaded == 1 else f"each of {ask.threaded} servers"
    text = (
        f"{name} stops {which} at {allowed:,} threads: a server that needs a thread for each of "
        f"{ask.connections:,} connections fails because of this host"
    )
    return Finding("warning", text, value, needed, scope, who, command, threads_max=allowed)


def _needed(ask: Ask) -> int:
    """Threads that one server needs."""
    return ask.connections + NOFILE_MARGIN


def _needed_together(ask: Ask) -> int:
    """Threads that all servers with a thread per connection need at once."""
    return ask.threaded * _needed(ask)


def pid_max(facts: Facts, ask: Ask) -> Finding:
    """Check kernel.pid_max: every thread has a number of its own."""
    return _of_host("kernel.pid_max", facts.kernel_pid_max, facts, ask)


def threads_max(facts: Facts, ask: Ask) -> Finding:
    """Check kernel.threads-max: threads of the whole host."""
    return _of_host("kernel.threads-max", facts.kernel_threads_max, facts, ask)


def _of_host(name: str, limit: int | None, facts: Facts, ask: Ask) -> Finding:
    used = facts.tasks or 0
    needed = used + _needed_together(ask)
    if limit is None:
        return unknown(name, needed=f"{needed:,}")
    return bounded(
        name,
        (limit - used) // ask.threaded,
        ask,
        value=f"{limit:,}, {used:,} of them used",
        needed=f"{needed:,}",
        command=sysctl(name, max(needed, 2 * limit)),
    )


def pids_cgroup(facts: Facts, ask: Ask) -> Finding:
    """Check pids.max of the cgroup (systemd's TasksMax, Docker's --pids-limit)."""
    needed = f"{_needed_together(ask):,}"
    if ask.has_docker:
        needed = f"{_needed(ask):,}"
        text = "each container asks the engine for it and reads it back"
        return Finding("ok", text, needed, needed, "container", "the harness")
    if facts.pids_left is None:
        return unknown("pids.max of the cgroup", "process", needed)
    return bounded(
        "pids.max of the cgroup",
        facts.pids_left if facts.pids_left >= UNLIMITED else facts.pids_left // ask.threaded,
        ask,
        value=f"{count(facts.pids_left)}{'' if facts.pids_left >= UNLIMITED else ' left'}",
        needed=needed,
        scope="process",
        who="the user of the harness",
        command="systemd-run --user --scope --property=TasksMax=infinity $SHELL",
    )


def nproc(facts: Facts, ask: Ask) -> Finding:
    """Check RLIMIT_NPROC: threads of one user; root is exempt."""
    used = facts.tasks_of_user or 0
    needed = used + _needed_together(ask)
    if ask.has_docker:
        return Finding("ok", "the engine sets no limit of processes", "n/a", "", "container")
    if facts.nproc is None:
        return unknown("RLIMIT_NPROC", "process", f"{needed:,}")
    if facts.nproc_exempt:
        text = "root is exempt from RLIMIT_NPROC"
        return Finding("ok", text, count(facts.nproc), f"{needed:,}", "process")
    return bounded(
        "RLIMIT_NPROC",
        facts.nproc if facts.nproc >= UNLIMITED else (facts.nproc - used) // ask.threaded,
        ask,
        value=f"{count(facts.nproc)}, {used:,} of them used",
        needed=f"{needed:,}",
        scope="process",
        who="the user of the harness, as root",
        command=f"sudo prlimit --pid $$ --nproc={needed}:{needed}",
    )


def map_count(facts: Facts, ask: Ask) -> Finding:
    """Check vm.max_map_count: a stack and its guard are two mappings of the process."""
    limit = facts.vm_max_map_count
    needed = _needed(ask) * MAPPINGS_PER_THREAD + MAPPINGS_OF_PROGRAM
    if limit is None:
        return unknown("vm.max_map_count", needed=f"{needed:,}")
    return bounded(
        "vm.max_map_count",
        (limit - MAPPINGS_OF_PROGRAM) // MAPPINGS_PER_THREAD,
        ask,
        value=count(limit),
        needed=f"{needed:,}",
        command=sysctl("vm.max_map_count", max(262_144, needed)),
    )


def overcommit(facts: Facts, ask: Ask) -> Finding:
    """Check vm.overcommit_memory: 2 counts the address space of every stack."""
    mode, left = facts.vm_overcommit_memory, facts.commit_left_bytes
    if mode is None:
        return unknown("vm.overcommit_memory")
    if mode != 2 or left is None:
        text = "the kernel counts stacks when they are used, not when they are reserved"
        return Finding("ok", text, str(mode), "0 or 1")
    return bounded(
        "vm.overcommit_memory=2",
        left // STACK_BYTES // ask.threaded,
        ask,
        value=f"2, {mib(max(0, left))} left",
        needed=mib(_needed_together(ask) * STACK_BYTES),
        command=sysctl("vm.overcommit_memory", 0),
    )


CHECKS = (
    Check("pid-max", "Are there pids for a thread per connection?", pid_max),
    Check("threads-max", "May the host have a thread per connection?", threads_max),
    Check("pids-cgroup", "May the cgroup have a thread per connection?", pids_cgroup),
    Check("nproc", "May the user have a thread per connection?", nproc),
    Check("map-count", "May a process have that many stacks?", map_count),
    Check("overcommit", "May a process reserve that many stacks?", overcommit),
)
