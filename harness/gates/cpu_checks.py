"""Check the CPU time of a cell: is all of the server's counted, and did others use its CPUs?

A balance covers a cell from idle moment to idle moment. Its busy time is the time in which the
server and other processes ran on the server's CPUs. `server.charged` has what the kernel charged to
the server (harness/host/cpu_accounting.py). Older records have the clocks of the known processes,
and ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract.record import VariantFacts
from harness.contract.stored_cell import StoredCell, StoredSide

# The value of `server.charged.source` without a control group that counts the server's CPU time
# (harness/host/cpu_accounting.py).
PROCESSES = "processes"
# The kernel counts the time of a CPU in ticks of 10 ms (USER_HZ = 100). With ten ticks a busy share
# is exact to a tenth, and the run time in ns averages over a thousand switches or more.
SERVER_CPU_MS_MIN = 100.0
# A CPU figure must be as exact as the smallest difference that the report shows (EFFECT_MIN of
# analysis/intervals.py).
EXACT_SHARE_MAX = 0.05
# Alone on their CPUs, the load's threads wait for each other in 2 to 3 % of a window, and other
# processes use 1 % of the server's CPUs. With one more busy process it is 27 % and 50 %.
LOAD_WAIT_SHARE_MAX = 0.10
OTHERS_SHARE_MAX = 0.10
# Share of the time in which the server's CPUs were busy. Time of no known process may be the
# server's, so it must be small compared with the smallest difference that the report shows.
UNKNOWN_SHARE_MAX = 0.02
# Share of the server's run time that its CPUs do not have: no more than the difference of two
# clocks that are read one after the other. Ticks are samples, and exact to a tenth.
OUTSIDE_SHARE_MAX = 0.02
OUTSIDE_SHARE_MAX_TICKS = 0.10

TICKS_PER_S = 100  # USER_HZ, the unit of /proc/stat on every architecture that runs this
TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
TASK_TICKS = ("user", "nice", "system")


@dataclass(frozen=True, slots=True)
class Balance:
    """CPU time in ns over a cell's spans.

    Attributes:
        server_ns: of the server.
        busy_ns: in which its CPUs were busy.
        whole_ns: that its CPUs have in all.
        exact_ns: the largest error of the difference of the first two.
    """

    server_ns: float
    busy_ns: float
    whole_ns: float
    exact_ns: float
    by_ticks: bool


def balance(record: StoredCell) -> Balance | None:
    """Return the balance of a cell; None if its record has none."""
    charged = record.server.charged
    if charged.cpu_ns is None or charged.busy_ns is None:
        return None
    if not charged.span_ns or not charged.cpus:
        return None
    return Balance(
        server_ns=charged.cpu_ns,
        busy_ns=charged.busy_ns,
        whole_ns=charged.span_ns * charged.cpus,
        exact_ns=(charged.exact_ns or 0.0) + (charged.busy_exact_ns or 0.0),
        by_ticks=charged.busy_source == "stat",
    )


def server_cpu_ns(record: StoredCell) -> float | None:
    """Return the server's CPU time that its figures are made of; None if it is not known."""
    charged_ns = record.server.charged.cpu_ns
    return record.server.cpu_ns if charged_ns is None else charged_ns


def echoes_per_cpu_s(record: StoredCell) -> float | None:
    """Return echoes per second of server CPU; None with too little CPU time.

    In a closed loop a gate then voids the cell. The kernel's charge and the echoes cover the same
    spans. Older records have the run time of known processes instead, over an interval of its own
    just outside the window's edges.
    """
    cpu_ns = server_cpu_ns(record)
    if not cpu_ns or cpu_ns < SERVER_CPU_MS_MIN * 1e6:
        return None
    charged_echoes = record.server.charged.echoes
    if charged_echoes is not None:
        return charged_echoes / cpu_ns * 1e9 or None
    interval_ns = record.server.interval_ns
    if interval_ns is None:
        interval_ns = (record.window_s or 0) * 1e9
    return (record.echoes_per_s or 0.0) * interval_ns / cpu_ns or None


def cpu_time(record: StoredCell, facts: VariantFacts) -> str | None:
    cpu_ns = server_cpu_ns(record)
    if cpu_ns is None:
        return None
    if cpu_ns < SERVER_CPU_MS_MIN * 1e6:
        return f"{cpu_ns / 1e6:,.1f} ms of server CPU time stand behind the CPU figures"
    exact_ns = record.server.charged.exact_ns or 0.0
    if exact_ns > EXACT_SHARE_MAX * cpu_ns:
        return f"the server's CPU time is known to ± {exact_ns / cpu_ns:.0%} only"
    return None


def outside_cpus(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check that the server ran on its own CPUs only.

    Its control group may count time on other CPUs; its run time may exceed the time that its CPUs
    have, or in which they were busy.
    """
    elsewhere_ns, cpu_ns = record.server.charged.outside_ns, server_cpu_ns(record)
    if elsewhere_ns is not None and cpu_ns and elsewhere_ns > OUTSIDE_SHARE_MAX * cpu_ns:
        return _outside(elsewhere_ns / cpu_ns)
    span_ns = record.server.charged.span_ns
    whole_ns = (span_ns or 0.0) * (record.server.charged.cpus or 0.0)
    exact_ns = record.server.charged.exact_ns or 0.0
    if cpu_ns and whole_ns and cpu_ns > (1 + OUTSIDE_SHARE_MAX) * whole_ns + exact_ns:
        return _outside(1 - whole_ns / cpu_ns)
    found = balance(record)
    if found is None:
        return None
    share_max = OUTSIDE_SHARE_MAX_TICKS if found.by_ticks else OUTSIDE_SHARE_MAX
    outside_ns = found.server_ns - found.busy_ns
    if outside_ns <= share_max * found.whole_ns + found.exact_ns:
        return None
    return _outside(outside_ns / found.server_ns)


def _outside(share: float) -> str:
    return f"{share:.0%} of the server's CPU time was not on its CPUs"


def unaccounted(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check for CPU time that may be the server's and that its account lacks."""
    processes_ns = record.server.charged.processes_ns
    found = balance(record)
    if found is None or processes_ns is None:
        return None
    if record.server.charged.source != PROCESSES:
        return _outside_group(record, found, processes_ns)
    unknown_ns, exact_ns = _unknown_ns(record, found)
    if unknown_ns <= UNKNOWN_SHARE_MAX * found.busy_ns + exact_ns:
        return None
    text = f"{unknown_ns / found.busy_ns:.0%} of the server's CPU time belongs to no known process"
    if record.server.charged.loses_children:
        text += " (the server ignores SIGCHLD: the kernel keeps no time of its ended children)"
    return text


def _outside_group(record: StoredCell, found: Balance, processes_ns: float) -> str | None:
    """Check for a process of the server that moved to another control group."""
    exact_ns = (record.server.charged.processes_exact_ns or 0) + found.exact_ns
    outside_ns = processes_ns - found.server_ns
    if outside_ns <= UNKNOWN_SHARE_MAX * processes_ns + exact_ns:
        return None
    return f"{outside_ns / processes_ns:.0%} of the server's CPU time is not in its control group"


def _unknown_ns(record: StoredCell, found: Balance) -> tuple[float, float]:
    """Return the time of no known process on the server's CPUs, and its largest error.

    The kernel counts for how long a process ran, but not on which CPUs. There are two upper bounds:
    the time in which the server's CPUs ran other tasks, and the time in which all CPUs ran tasks of
    no known process. Only the second one includes children on other CPUs whose time the kernel
    dropped. If not all processes are visible, there is only the first.
    """
    beside_ns = found.busy_ns - found.server_ns
    others_ns = record.server.charged.others_ns
    host_busy_ns = record.server.charged.host_busy_ns
    if others_ns is None or host_busy_ns is None:
        return beside_ns, found.exact_ns
    of_host_ns = host_busy_ns - others_ns - found.server_ns
    exact_ns = found.exact_ns + (record.server.charged.host_exact_ns or 0)
    if record.server.charged.loses_children:
        return of_host_ns, exact_ns
    return min(beside_ns, of_host_ns), exact_ns


def load_waited(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check that the load did not wait for a CPU.

    No other gate detects a closed loop that is slow because its generator shares a CPU.
    """
    wait_ns = record.generator.run_wait_ns
    interval_ns = record.generator.interval_ns
    if wait_ns is None or not interval_ns:
        return None
    # Per process: each worker has a CPU, on which its own threads wait for each other
    share = wait_ns / interval_ns / max(1, record.generator.workers or 0)
    if share <= LOAD_WAIT_SHARE_MAX:
        return None
    return f"the load was ready to run and waited for a CPU in {share:.0%} of it"


def shared_cpu(record: StoredCell, facts: VariantFacts) -> str | None:
    """Check how much of the server's CPUs other processes used."""
    found = balance(record)
    if found is None:
        return _shared_by_ticks(record)
    others_ns = found.busy_ns - found.server_ns
    if others_ns <= OTHERS_SHARE_MAX * found.whole_ns + found.exact_ns:
        return None
    return _used_by_others(others_ns / found.whole_ns)


def _shared_by_ticks(record: StoredCell) -> str | None:
    """Do the same for a record without a balance, by ticks: exact to one at each edge of each turn.

    Interrupts are left out. A kernel with CONFIG_IRQ_TIME_ACCOUNTING does not count the softirq
    inside the server's send() as its run time; other kernels do. So the check never reports other
    processes wrongly. It detects them only above about half of the server's own softirq.
    """
    cpu_ns = record.server.cpu_ns
    interval_ns = record.server.interval_ns
    of_server = ticks(record.server)
    total = sum(of_server.values())
    if cpu_ns is None or not interval_ns or not total:
        return None
    interval_ticks = interval_ns / 1e9 * TICKS_PER_S
    cpus = max(1, round(total / interval_ticks))
    tasks = sum(of_server[name] for name in TASK_TICKS) / total
    others = tasks - cpu_ns / interval_ns / cpus
    if others <= OTHERS_SHARE_MAX + 2 * (record.turns or 1) / interval_ticks:
        return None
    return _used_by_others(others)


def _used_by_others(share: float) -> str:
    return f"other processes used {share:.0%} of the server's CPU time"


def ticks(side: StoredSide) -> dict[str, float]:
    """Return {name: ticks} of the CPUs of one side; 0 for a name that is not in the data."""
    return {name: side.stat_ticks.get(name, 0.0) for name in TICKS}
