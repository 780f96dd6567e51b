"""Check the limits on connections that can be open at once, one check for each limit."""

from __future__ import annotations

from dataclasses import replace

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
from harness.plan.limits import BACKLOG, NOFILE_MARGIN, SYSCTLS

ROOT = "root on the host"
STARTER = "the user of the harness, as root"
HARNESS = "the harness"
USERS = "the users of the memory"
LARGEST = "ps -eo rss,pid,args --sort=-rss | head"
# Both ends of each connection are on this host: two sockets, two files, two watches.
ENDS = 2
# A message of a closed loop is in flight in one direction at a time, as a sent copy and a received
# one: one page for each end (SK_MEM_QUANTUM; the kernel accounts sockets by the page).
PAGES_PER_CONNECTION = 2
# The load uses as many addresses of 127.0.0.0/8 as it needs, up to this number.
SOURCES_MAX = 250
# Kernel memory of both ends (at most 5.5 KB each), the engine's record and histograms, a server's
# own buffers: rounded up. A thread adds up to 50 KB (its stack, its kernel stack, its task).
BYTES_PER_CONNECTION = 40_000
BYTES_PER_THREAD = 50_000
# Interpreter, analysis and report.
BYTES_OF_HARNESS = 400_000_000
# One load: an interpreter with Locust in it, without its connections.
BYTES_OF_LOAD = 100_000_000
LOCAL_RANGE_DEFAULT = 28_232


def binding(
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
    """An error if `allowed` is below what is asked for, otherwise ok; both with the largest N."""
    known = None if allowed >= UNLIMITED else max(0, allowed)
    if allowed >= ask.connections:
        found = Finding("ok", f"{name} is enough", value, needed, scope)
    else:
        text = f"{name} allows {count(max(0, allowed))} connections, not {ask.connections:,}"
        found = Finding("error", text, value, needed, scope, who, command)
    return replace(found, connections_max=known)


def nofile(facts: Facts, ask: Ask) -> Finding:
    """Check RLIMIT_NOFILE: one descriptor per connection, in the server and in the load."""
    needed = ask.connections + NOFILE_MARGIN
    hard = facts.engine.nofile_hard if ask.has_docker else facts.nofile_hard
    scope: Scope = "container" if ask.has_docker else "process"
    if hard is None:
        found = unknown("the engine's hard limit of open files", scope, f"{needed:,}")
        return replace(found, text=f"{found.text}; each trial asks for it and reads it back")
    who, command = STARTER, f"sudo prlimit --pid $$ --nofile={needed}:{needed}"
    if ask.has_docker:
        who = "root, for the engine"
        command = (
            "sudo mkdir -p /etc/systemd/system/docker.service.d && "
            f"printf '[Service]\\nLimitNOFILE={needed}\\n' | "
            "sudo tee /etc/systemd/system/docker.service.d/nofile.conf && "
            "sudo systemctl daemon-reload && sudo systemctl restart docker"
        )
    return binding(
        "the hard limit of open files (RLIMIT_NOFILE)",
        hard if hard >= UNLIMITED else hard - NOFILE_MARGIN,
        ask,
        value=count(hard),
        needed=f"{needed:,}",
        scope=scope,
        who=who,
        command=command,
    )


def nr_open(facts: Facts, ask: Ask) -> Finding:
    """Check fs.nr_open: the most open files that a process can have."""
    needed = ask.connections + NOFILE_MARGIN
    if facts.fs_nr_open is None:
        return unknown("fs.nr_open", needed=f"{needed:,}")
    return binding(
        "fs.nr_open",
        facts.fs_nr_open - NOFILE_MARGIN,
        ask,
        value=count(facts.fs_nr_open),
        needed=f"{needed:,}",
        command=sysctl("fs.nr_open", needed),
    )


def file_max(facts: Facts, ask: Ask) -> Finding:
    """Check fs.file-max: open files of the whole host."""
    used = facts.files_open or 0
    ends = ENDS * ask.servers
    needed = used + ends * (ask.connections + NOFILE_MARGIN)
    if facts.fs_file_max is None:
        return unknown("fs.file-max", needed=f"{needed:,}")
    return binding(
        "fs.file-max, less the files that are open",
        (facts.fs_file_max - used) // ends - NOFILE_MARGIN,
        ask,
        value=f"{count(facts.fs_file_max)}, {used:,} of them open",
        needed=f"{needed:,}",
        command=sysctl("fs.file-max", needed),
    )


def backlog(facts: Facts, ask: Ask) -> Finding:
    """Check somaxconn and the queue of SYNs: the excess waits a second for its retransmission."""
    set_by_host = (facts.net_core_somaxconn, facts.net_ipv4_tcp_max_syn_backlog)
    if facts.isolated or ask.has_docker:
        return _in_namespace(f"{BACKLOG:,}", f"{BACKLOG:,}")
    if None in set_by_host:
        return unknown("net.core.somaxconn", "namespace", f"{BACKLOG:,}")
    queue = min(value for value in set_by_host if value is not None)
    needed = min(ask.connections, BACKLOG)
    if queue >= needed:
        text = "the queues of the listener are long enough"
        return Finding("ok", text, count(queue), f"{needed:,}", "namespace")
    return Finding(
        "warning",
        f"a storm of more than {queue:,} connections overflows the listener's queue: the others "
        "wait a second",
        count(queue),
        f"{needed:,}",
        "namespace",
        ROOT,
        f"sudo sysctl -w net.core.somaxconn={needed} net.ipv4.tcp_max_syn_backlog={needed}",
    )


def ports(facts: Facts, ask: Ask) -> Finding:
    """Check ports: those of one address towards the server, times the addresses of the load."""
    text = SYSCTLS["net.ipv4.ip_local_port_range"]
    low, high = (int(end) for end in text.split())
    if facts.isolated or ask.has_docker:
        found = _in_namespace(f"{low} to {high}", "")
    elif facts.port_range is None:
        low, high = 1, LOCAL_RANGE_DEFAULT
        found = unknown("net.ipv4.ip_local_port_range", "namespace")
    else:
        low, high = facts.port_range
        found = Finding("ok", "", f"{low} to {high}", scope="namespace")
    each = high - low + 1
    sources = min(SOURCES_MAX, -(-ask.connections // max(1, each)))
    allowed = each * SOURCES_MAX
    said = f"{each:,} ports for each source address; {sources} of {SOURCES_MAX} addresses are used"
    if allowed < ask.connections:
        wide = "1024 65535"
        command = sysctl("net.ipv4.ip_local_port_range", wide)
        found = replace(found, level="error", who=ROOT, command=command)
    return replace(found, text=said, connections_max=allowed)


def tcp_mem(facts: Facts, ask: Ask) -> Finding:
    """Check net.ipv4.tcp_mem: pages for the buffers of all sockets of the host."""
    pages = ask.connections * PAGES_PER_CONNECTION
    if facts.tcp_mem_pages is None:
        return unknown("net.ipv4.tcp_mem", needed=f"{pages:,} pages")
    low, pressure, high = facts.tcp_mem_pages
    grown = f"{max(low, pages)} {max(pressure, 2 * pages)} {max(high, 3 * pages)}"
    found = binding(
        "net.ipv4.tcp_mem",
        high // PAGES_PER_CONNECTION,
        ask,
        value=f"{low:,} {pressure:,} {high:,} pages",
        needed=f"{pages:,} pages",
        command=sysctl("net.ipv4.tcp_mem", grown),
    )
    if found.level == "ok" and pages > pressure:
        text = "with all connections active, TCP's memory comes under pressure and buffers shrink"
        command = sysctl("net.ipv4.tcp_mem", grown)
        return replace(found, level="warning", text=text, who=ROOT, command=command)
    return found


def orphans(facts: Facts, ask: Ask) -> Finding:
    """Check net.ipv4.tcp_max_orphans: closed sockets that still have data or a FIN to send."""
    limit, needed = facts.net_ipv4_tcp_max_orphans, f"{ask.connections:,}"
    if limit is None:
        return unknown("net.ipv4.tcp_max_orphans", needed=needed)
    if limit >= ask.connections:
        return Finding("ok", "net.ipv4.tcp_max_orphans is enough", count(limit), needed)
    return Finding(
        "warning",
        "if all connections close at once, the kernel resets some instead of ending them in order",
        count(limit),
        needed,
        who=ROOT,
        command=sysctl("net.ipv4.tcp_max_orphans", ask.connections),
    )


def conntrack(facts: Facts, ask: Ask) -> Finding:
    """Check nf_conntrack_max, only where trials run on the host's own loopback."""
    if facts.isolated or ask.has_docker:
        text = "trials have a network namespace without connection tracking"
        return Finding("ok", text, "not on the path")
    if facts.conntrack_max is None:
        return Finding("ok", "connections are not tracked", "not loaded")
    used = facts.conntrack_count or 0
    return binding(
        "nf_conntrack_max, less the connections it holds",
        facts.conntrack_max - used,
        ask,
        value=f"{facts.conntrack_max:,}, {used:,} of them used",
        needed=f"{used + ask.connections:,}",
        command=sysctl("net.netfilter.nf_conntrack_max", used + 2 * ask.connections),
    )


def watches(facts: Facts, ask: Ask) -> Finding:
    """Check fs.epoll.max_user_watches: one per connection and end, for each user."""
    ends = ENDS * ask.servers
    limit, needed = facts.fs_epoll_max_user_watches, ends * ask.connections
    if limit is None:
        return unknown("fs.epoll.max_user_watches", needed=f"{needed:,}")
    return binding(
        "fs.epoll.max_user_watches",
        limit // ends,
        ask,
        value=count(limit),
        needed=f"{needed:,}",
        command=sysctl("fs.epoll.max_user_watches", needed),
    )


def memory(facts: Facts, ask: Ask) -> Finding:
    """Check memory for the sockets of both ends, for the load, and for a thread per connection."""
    available = facts.memory_available_bytes
    # Each server after the first has a load of its own
    fixed = BYTES_OF_HARNESS + (ask.servers - 1) * BYTES_OF_LOAD
    needed = fixed + ask.servers * ask.connections * BYTES_PER_CONNECTION
    if available is None:
        return unknown("the available memory", needed=mib(needed))
    charged = facts.cgroup_memory_left_bytes
    within = available if charged is None else min(available, charged)
    per_connection = ask.servers * BYTES_PER_CONNECTION
    found = binding(
        "the available memory",
        (within - fixed) // per_connection,
        ask,
        value=mib(within),
        needed=mib(needed),
        who=USERS,
        command=LARGEST,
    )
    threads = max(0, (within - fixed) // (per_connection + ask.threaded * BYTES_PER_THREAD))
    if found.level == "ok" and threads < ask.connections:
        text = f"the available memory is enough for {threads:,} threads only"
        found = replace(found, level="warning", text=text, who=USERS, command=LARGEST)
    return replace(found, threads_max=threads)


def _in_namespace(value: str, needed: str) -> Finding:
    text = "set in the network namespace of each trial, and read back"
    return Finding("ok", text, value, needed, "namespace", HARNESS)


CHECKS = (
    Check("nofile", "May a process open a file for each connection?", nofile),
    Check("nr-open", "May the limit of open files be that high?", nr_open),
    Check("file-max", "May the host have that many open files?", file_max),
    Check("backlog", "Does a storm of connections fit the listener's queues?", backlog),
    Check("ports", "Are there enough ports for the load's addresses?", ports),
    Check("tcp-mem", "May sockets have that much buffer memory?", tcp_mem),
    Check("orphans", "May that many connections close at once?", orphans),
    Check("conntrack", "Does connection tracking hold them, where it is on the path?", conntrack),
    Check("watches", "May a user have that many epoll watches?", watches),
    Check("memory", "Is there memory for sockets, load and threads?", memory),
)
