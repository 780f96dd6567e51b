"""The gates on CPU time: is the server's all of it, and did it have its CPUs to itself?

The balance of a cell, from idle moment to idle moment: the server's CPUs were busy for as long as
the server and others ran there. What the kernel charged to the server is in `server.charged`
(harness/host/cpu_accounting.py); records from before it have the clocks of the processes that were
known, and ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract.record import VariantFacts
from harness.contract.stored_cell import StoredCell, StoredSide

# Of `server.charged.source`: no control group counts for the server
# (harness/host/cpu_accounting.py).
PROCESSES = "processes"
# The kernel counts CPU time of a CPU in ticks of 10 ms (USER_HZ = 100); ten of them make a busy
# share good to a tenth, and give the run time in ns a thousand switches or more to average over.
SERVER_CPU_MS_MIN = 100.0
# A CPU figure is to be good to the smallest difference that the report calls one (EFFECT_MIN of
# analysis/intervals.py).
EXACT_SHARE_MAX = 0.05
# Alone on their CPUs, the load's threads wait for one in 2 to 3 % of a window (for each other), and
# the server's CPUs are busy with others for 1 %; beside one more busy process it is 27 % and 50 %.
LOAD_WAIT_SHARE_MAX = 0.10
OTHERS_SHARE_MAX = 0.10
# Of the time in which the server's CPUs were busy. What no process has may be the server's, so it
# has to be small beside the smallest difference that the report calls one.
UNKNOWN_SHARE_MAX = 0.02
# Run time of the server that its CPUs did not have: no more than what two clocks that are read one
# after the other differ by. Ticks are samples, and good to a tenth.
OUTSIDE_SHARE_MAX = 0.02
OUTSIDE_SHARE_MAX_TICKS = 0.10

TICKS_PER_S = 100  # USER_HZ, the unit of /proc/stat on every architecture that runs this
TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
TASK_TICKS = ("user", "nice", "system")


@dataclass(frozen=True, slots=True)
class Balance:
    """CPU time in ns over a cell's spans: of the server, of its CPUs, and what those have in all.

    `exact_ns` is by how much a difference of the first two may be wrong.
    """

    server_ns: float
    busy_ns: float
    whole_ns: float
    exact_ns: float
    by_ticks: bool


def balance(record: StoredCell) -> Balance | None:
    """The balance of a cell whose spans were accounted for; None for any other."""
    server_ns, busy_ns, span_ns, cpus, exact_ns, busy_exact_ns = (
        getattr(record.server.charged, name)
        for name in ("cpu_ns", "busy_ns", "span_ns", "cpus", "exact_ns", "busy_exact_ns")
    )
    if server_ns is None or busy_ns is None or not span_ns or not cpus:
        return None
    exact_ns = (exact_ns or 0.0) + (busy_exact_ns or 0.0)
    by_ticks = record.server.charged.busy_source == "stat"
    return Balance(server_ns, busy_ns, span_ns * cpus, exact_ns, by_ticks)


def server_cpu_ns(record: StoredCell) -> float | None:
    """The server's CPU time behind its figures; None where it is not known."""
    charged_ns = record.server.charged.cpu_ns
    return record.server.cpu_ns if charged_ns is None else charged_ns


def echoes_per_cpu_s(record: StoredCell) -> float | None:
    """Echoes per second of server CPU. Too little CPU time is no figure; in a closed loop a gate
    then voids the cell.

    What the kernel charged and the echoes are of the same spans. Records from before that was read
    have the run time of known processes, just outside the window's edges, hence over an interval
    of its own.
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
    """What a control group counted elsewhere, or more run time than its CPUs have, or were busy."""
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
    """CPU time that may be the server's, and that its account does not have."""
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
    """A process of the server that moved itself to another control group."""
    exact_ns = (record.server.charged.processes_exact_ns or 0) + found.exact_ns
    outside_ns = processes_ns - found.server_ns
    if outside_ns <= UNKNOWN_SHARE_MAX * processes_ns + exact_ns:
        return None
    return f"{outside_ns / processes_ns:.0%} of the server's CPU time is not in its control group"


def _unknown_ns(record: StoredCell, found: Balance) -> tuple[float, float]:
    """Time of no known process on the server's CPUs, and by how much it may be wrong.

    The kernel says for how long a process ran, not where. Two bounds hold: the time that the
    server's CPUs ran other tasks, and the time that all CPUs ran tasks of no known process. The
    second one alone sees children on other CPUs whose time the kernel dropped. Where not all
    processes are in view, there is the first one only.
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
    """No other gate notices a closed loop that is slow because its generator shares a CPU."""
    wait_ns = record.generator.run_wait_ns
    interval_ns = record.generator.interval_ns
    if wait_ns is None or not interval_ns:
        return None
    # Of one process: each worker has a CPU, on which its own threads wait for each other
    share = wait_ns / interval_ns / max(1, record.generator.workers or 0)
    if share <= LOAD_WAIT_SHARE_MAX:
        return None
    return f"the load was ready to run and waited for a CPU in {share:.0%} of it"


def shared_cpu(record: StoredCell, facts: VariantFacts) -> str | None:
    """What the server's CPUs ran beside the server."""
    found = balance(record)
    if found is None:
        return _shared_by_ticks(record)
    others_ns = found.busy_ns - found.server_ns
    if others_ns <= OTHERS_SHARE_MAX * found.whole_ns + found.exact_ns:
        return None
    return _used_by_others(others_ns / found.whole_ns)


def _shared_by_ticks(record: StoredCell) -> str | None:
    """The same of a record without a balance: ticks are good to one at each edge of each turn.

    Interrupts are left out: a kernel with CONFIG_IRQ_TIME_ACCOUNTING takes the softirq that runs
    inside the server's send() out of its run time, others leave it in. So others are never accused
    wrongly, and are seen from about half of the server's own softirq on.
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
    """{name: ticks} of the CPUs of one side, 0 where they are not in the data."""
    return {name: side.stat_ticks.get(name, 0.0) for name in TICKS}
