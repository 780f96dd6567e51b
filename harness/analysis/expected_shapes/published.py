"""List the published results with their bounds and sources, and judge them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.analysis import control
from harness.analysis.expected_shapes import judges
from harness.analysis.expected_shapes.judges import (
    ACTIVE,
    COUNTED_WITHIN,
    FEW,
    MANY,
    MEMORY_CONNECTIONS_MIN,
)
from harness.analysis.expected_shapes.view import Row, Shape, Verdict, View
from harness.analysis.intervals import TRIALS_MIN
from harness.analysis.results import Analysis
from harness.contract.stored_campaign import StoredHead
from harness.gates import generator_fitness

# The family of servers that the sources describe: one waiting thread, or one per connection, in C.
FAMILY = "C++"

VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "not settled", "not applicable")
# The worst value of a shape decides its verdict.
WORST_FIRST: tuple[Verdict, ...] = ("fail", "not settled", "pass")

BANGA, GAMMO = "Banga & Mogul 1998", "Gammo et al. 2004"
IDLE_NEEDS = (
    f"cells `idle` at {FEW:,} and {MANY:,} connections with {ACTIVE} active, {TRIALS_MIN} trials"
)
BOTH_NEEDS = f"{TRIALS_MIN} trials of both servers in a cell `idle`, `active` or small `payload`"
CALLS_NEED = "system calls of a cell, which an x-ray trial counts"
MEMORY_NEEDS = f"memory in a cell `idle` with {MEMORY_CONNECTIONS_MIN} connections or more"
SHAPES = (
    Shape(
        *("idle-scan", "poll and select pay for idle connections"),
        "from 100 to 10,000 connections, 100 active: keep half of their echoes per server CPU "
        "or less",
        f"{BANGA}; {GAMMO}",
        IDLE_NEEDS,
        judges.idle_scan,
    ),
    Shape(
        *("idle-epoll", "epoll does not pay for idle connections"),
        "from 100 to 10,000 connections, 100 active: keeps 80 % of its echoes per server CPU or "
        "more",
        f"{BANGA}; {GAMMO}",
        IDLE_NEEDS,
        judges.idle_epoll,
    ),
    Shape(
        *("all-active", "with all connections active the mechanism matters little"),
        "poll, select, epoll-lt and epoll-et within 15 % of each other",
        GAMMO,
        f"{TRIALS_MIN} trials of all four in a cell `active`",
        judges.all_active,
    ),
    Shape(
        *("et-lt", "a drained edge costs a call more than a level"),
        "epoll-et is 0.85 to 1.03 of epoll-lt for small messages",
        f"epoll(7): read until EAGAIN; {GAMMO}",
        BOTH_NEEDS,
        judges.et_against_lt,
    ),
    Shape(
        *("calls-threads", "system calls per echo of a thread per connection"),
        f"2 (within {COUNTED_WITHIN:.0%}, of the counting)",
        "recv(2), send(2)",
        CALLS_NEED,
        judges.calls_of_threads,
    ),
    Shape(
        *("calls-level", "system calls per echo of poll, select and epoll-lt"),
        f"2 + 1/k with k events per wake-up (within {COUNTED_WITHIN:.0%}, of the counting)",
        BANGA,
        CALLS_NEED,
        judges.calls_of_readiness,
    ),
    Shape(
        *("calls-edge", "system calls per echo of a drained edge"),
        f"3 + 1/k with k events per wake-up (within {COUNTED_WITHIN:.0%}, of the counting)",
        "epoll(7): read until EAGAIN",
        CALLS_NEED,
        judges.calls_of_edges,
    ),
    Shape(
        *("memory-threads", "memory per connection of a thread per connection"),
        "25 to 50 KB",
        "a task, 16 KB of kernel stack (THREAD_SIZE), and the pages of its own stack in use",
        MEMORY_NEEDS,
        judges.memory_of_threads,
    ),
    Shape(
        *("memory-user", "user memory per connection of an event loop"),
        "less than 1 KB beyond buffers",
        "a record per connection, and no buffer while nothing waits to be sent",
        MEMORY_NEEDS,
        judges.user_memory,
    ),
    Shape(
        *("memory-kernel", "kernel memory per idle endpoint of an event loop"),
        "3.5 to 5.5 KB",
        "slabinfo(5): tcp_sock, socket inode, file, dentry, epoll item",
        MEMORY_NEEDS,
        judges.kernel_memory,
    ),
    Shape(
        *("backlog", "a backlog of B admits B + 1 connections, and the rest wait a second"),
        "B + 1 at once; the rest after the SYN is sent again, 0.9 to 1.2 s",
        "sk_acceptq_is_full in include/net/sock.h; RFC 6298: the first timeout is 1 s",
        "the self-test's experiment with a full backlog",
        judges.backlog,
    ),
    Shape(
        *("select-poll", "select and poll cost about the same"),
        "select within 25 % of poll, up to 1,000 connections",
        f"{BANGA}; {GAMMO}",
        BOTH_NEEDS,
        judges.select_against_poll,
    ),
)


def check(head: StoredHead, analysis: Analysis) -> tuple[Row, ...]:
    """Judge all shapes."""
    architectures = {
        variant.name: variant.architecture
        for variant in head.variants
        if (variant.family or variant.language) == FAMILY
    }
    backlog = generator_fitness.backlog(head.selftest)
    view = View(architectures, control.names(head), analysis, backlog)
    return tuple(_row(shape, view) for shape in SHAPES)


def conclusion(rows: Iterable[Row]) -> str:
    """Return the number of each verdict, and the failed shapes."""
    listed = list(rows)
    counted = Counter(row.verdict for row in listed)
    words = ", ".join(f"{counted[verdict]} {verdict}" for verdict in VERDICTS)
    failed = [row.id for row in listed if row.verdict == "fail"]
    end = f"; failed: {', '.join(failed)}." if failed else "."
    return f"Expected shapes: {words}{end}"


def _row(shape: Shape, view: View) -> Row:
    observed = tuple(shape.judge(view))
    reason = "" if observed else f"not measured: {shape.needs}"
    found = {one.verdict for one in observed}
    verdict: Verdict = next((one for one in WORST_FIRST if one in found), "not applicable")
    return Row(shape.id, shape.title, observed, shape.bound, shape.source, verdict, reason)
