"""List all gates, one row each, in the order in which the report prints them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.contract.record import (
    any_cell,
    churns,
    has_traffic,
    is_closed_loop,
    is_finished,
    is_open_loop,
)
from harness.contract.statuses import CellStatus
from harness.contract.stored_cell import StoredCell
from harness.gates import cell_checks, cpu_checks, failure_excuses
from harness.gates.cell_checks import Check


@dataclass(frozen=True, slots=True)
class Gate:
    """One automatic check of one cell.

    Attributes:
        code: its name in `reasons`.
        title: what a passed gate shows, for the report.
        rule: what is compared.
        bound: the bound, in words, with its unit.
        effect: the status of a cell that fails it.
        applies: whether it judges a cell.
        check: returns a sentence about what is wrong, or None.
        needs_server: it is about the server's processes, and is left out if those are not visible.
    """

    code: str
    title: str
    rule: str
    bound: str
    effect: CellStatus
    applies: Callable[[StoredCell], bool]
    check: Check
    needs_server: bool = False


GATES: tuple[Gate, ...] = (
    Gate(
        "capped",
        "A declared ceiling is a result",
        "asked for more than `connections_max`, held at least most of that, nothing else broke",
        f"held ≥ {cell_checks.CEILING_HELD_SHARE_MIN:.0%} of the ceiling",
        CellStatus.CAPPED,
        any_cell,
        cell_checks.capped,
    ),
    Gate(
        "disturbed",
        "Servers that timed out had their CPUs",
        "connections not held, replies missing: time of the server's CPUs that other processes and "
        "the hypervisor took meanwhile; time in which the load waited for a CPU",
        f"≤ {cpu_checks.OTHERS_SHARE_MAX:.0%} of the server's CPUs' time, plus what its "
        "sources are exact "
        f"to, {failure_excuses.NEGLIGIBLE_NS / 1e6:.0f} ms at least; "
        f"≤ {cpu_checks.LOAD_WAIT_SHARE_MAX:.0%} of the load's",
        CellStatus.VOID,
        any_cell,
        failure_excuses.disturbed,
        needs_server=True,
    ),
    Gate(
        "failure",
        "The cell was measured to its end",
        "no failure of the server or of the load",
        "none",
        CellStatus.VOID,
        any_cell,
        cell_checks.failure,
    ),
    Gate(
        "evidence",
        "The evidence is complete",
        "counts of connections, echoes, wrong bytes, latency and server CPU time are in the data",
        "all of them",
        CellStatus.VOID,
        is_finished,
        cell_checks.evidence,
    ),
    Gate(
        "established",
        "All connections were held",
        "ESTABLISHED sockets of the server's port, lowest from before its traffic to after it = "
        "requested; "
        "in churn those that stay open",
        "equal",
        CellStatus.VOID,
        is_finished,
        cell_checks.established,
    ),
    Gate(
        "corrupt",
        "Every byte came back",
        "bytes that differ from what was sent",
        "0",
        CellStatus.VOID,
        any_cell,
        cell_checks.counted(
            "{} bytes came back wrong",
            lambda cell: cell.corrupt_bytes,
        ),
    ),
    Gate(
        "lost",
        "No connection broke",
        "connections lost, from the cell's warm-up until its last reply",
        "0",
        CellStatus.VOID,
        is_finished,
        cell_checks.lost,
    ),
    Gate(
        "cycles",
        "Every connection of churn was served",
        "churn: cycles that ended without their verified echo",
        "0",
        CellStatus.VOID,
        churns,
        cell_checks.cycles,
    ),
    Gate(
        "silent",
        "The server answered",
        "echoes in the window",
        "≥ 1",
        CellStatus.VOID,
        has_traffic,
        cell_checks.silent,
    ),
    Gate(
        "little",
        "Rate and latency agree (Little's law)",
        "closed loop: active × depth = echoes/s × mean latency",
        f"± {cell_checks.LITTLE_SHARE_MAX:.0%}, plus mean latency / window for the "
        "window's edges, or "
        f"those of each turn (at most {cell_checks.TURN_EDGES_MAX:.0%})",
        CellStatus.VOID,
        is_closed_loop,
        cell_checks.little,
    ),
    Gate(
        "cpu-time",
        "Enough CPU time behind a CPU figure",
        "closed loop: CPU time of the server, and how exact its source is; below it an open loop, "
        "which is about latency, has no CPU figure",
        f"≥ {cpu_checks.SERVER_CPU_MS_MIN:.0f} ms, exact to {cpu_checks.EXACT_SHARE_MAX:.0%}",
        CellStatus.VOID,
        is_closed_loop,
        cpu_checks.cpu_time,
        needs_server=True,
    ),
    Gate(
        "outside-cpus",
        "The server stayed on its CPUs",
        "CPU time of the server that its control group counted on other CPUs, or that is more than "
        "its CPUs were busy for",
        f"≤ {cpu_checks.OUTSIDE_SHARE_MAX:.0%} of its CPUs' time "
        f"({cpu_checks.OUTSIDE_SHARE_MAX_TICKS:.0%} if only ticks are known)",
        CellStatus.VOID,
        has_traffic,
        cpu_checks.outside_cpus,
        needs_server=True,
    ),
    Gate(
        "unaccounted",
        "All CPU time belongs to a known process",
        "without a control group of the server: time in which its CPUs were busy, less the CPU "
        "time of the server and of all other processes; with one: CPU time of the server's "
        "processes, less that of the group",
        f"≤ {cpu_checks.UNKNOWN_SHARE_MAX:.0%}, plus what the sources are exact to",
        CellStatus.VOID,
        has_traffic,
        cpu_checks.unaccounted,
        needs_server=True,
    ),
    Gate(
        "restarted",
        "One process served it all",
        "main processes of the server that ended or were replaced since it was ready",
        "0",
        CellStatus.VOID,
        is_finished,
        cell_checks.counted(
            "{} main process of the server ended or was replaced", lambda cell: cell.server.restarts
        ),
        needs_server=True,
    ),
    Gate(
        "not-reachable",
        "The generator kept the rate",
        "open loop: useful busy share of the load; p99 of actual − intended send; missed sends",
        f"≤ {cell_checks.GENERATOR_BUSY_MAX:.0%}; ≤ {cell_checks.SEND_LAG_US_MIN:.0f} µs or "
        f"{cell_checks.SEND_LAG_SHARE_MAX:.0%} of the latency p99; "
        f"≤ {cell_checks.MISSED_SENDS_SHARE_VOID:.0%}",
        CellStatus.VOID,
        is_open_loop,
        cell_checks.not_reachable,
    ),
    Gate(
        "not-served",
        "The server kept the rate",
        "open loop: messages of the window whose replies came after it",
        f"≤ {cell_checks.LATE_REPLIES_SHARE_VOID:.0%}",
        CellStatus.VOID,
        is_open_loop,
        cell_checks.not_served,
    ),
    Gate(
        "clock-step",
        "The clock of the receive stamps ran evenly",
        "open loop: change of CLOCK_REALTIME − CLOCK_MONOTONIC, which self-delay depends on",
        f"≤ {cell_checks.CLOCK_STEP_MS_MAX:g} ms",
        CellStatus.VOID,
        is_open_loop,
        cell_checks.clock_step,
    ),
    Gate(
        "missed-sends",
        "Every message was offered",
        "open loop: sends that missed their time; a single one at the window's edge is allowed",
        f"≤ {cell_checks.MISSED_SENDS_SHARE_MAX:.1%}",
        CellStatus.NOISY,
        is_open_loop,
        cell_checks.missed_sends,
    ),
    Gate(
        "late-replies",
        "Every reply is in the percentiles",
        "open loop: the same; a single one is allowed",
        f"≤ {cell_checks.LATE_REPLIES_SHARE_MAX:.1%}",
        CellStatus.NOISY,
        is_open_loop,
        cell_checks.late_replies,
    ),
    Gate(
        "clock-set",
        "The clock was not set",
        "closed loop and ramp: the same change; their figures use CLOCK_MONOTONIC and still count",
        f"≤ {cell_checks.CLOCK_STEP_MS_MAX:g} ms",
        CellStatus.NOISY,
        lambda record: is_finished(record) and not is_open_loop(record),
        cell_checks.clock_step,
    ),
    Gate(
        "counters",
        "Noise would be visible",
        "steal, retransmits, overflows and drops are in the data, and CPU time passed there",
        "all of them",
        CellStatus.NOISY,
        is_finished,
        cell_checks.counters,
    ),
    Gate(
        "steal",
        "The hypervisor did not take the CPUs",
        "steal share of the server's and of the load's CPUs",
        f"≤ {cell_checks.STEAL_SHARE_MAX:.0%}",
        CellStatus.NOISY,
        has_traffic,
        cell_checks.steal,
    ),
    Gate(
        "drift",
        "The rate was steady",
        "change of the rate across the window: a line through its tenths, two-sided t test of the "
        "slope",
        f"≤ {cell_checks.DRIFT_SHARE_MAX:.0%}, or p > {cell_checks.DRIFT_P_MAX:g}",
        CellStatus.NOISY,
        has_traffic,
        cell_checks.drift,
    ),
    Gate(
        "uneven",
        "The rate was even",
        "closed loop of 2 s or more: half of the 95 % interval of the mean rate, by the spread of "
        "the window's tenths",
        f"≤ {cell_checks.UNEVEN_HALF_WIDTH_MAX:.0%}",
        CellStatus.NOISY,
        cell_checks.shows_its_tenths,
        cell_checks.uneven,
    ),
    Gate(
        "load-waited",
        "The load had its CPUs to itself",
        "time in which its threads were ready to run and did not, of the window",
        f"≤ {cpu_checks.LOAD_WAIT_SHARE_MAX:.0%}",
        CellStatus.NOISY,
        has_traffic,
        cpu_checks.load_waited,
    ),
    Gate(
        "shared-cpu",
        "The server had its CPUs to itself",
        "time in which the server's CPUs were busy, less the CPU time of the server",
        f"≤ {cpu_checks.OTHERS_SHARE_MAX:.0%} of its CPUs' time, plus what its sources "
        "are exact to",
        CellStatus.NOISY,
        has_traffic,
        cpu_checks.shared_cpu,
        needs_server=True,
    ),
    Gate(
        "retransmits",
        "Nothing was sent twice",
        "RetransSegs; in ramp only those that are not TCPSynRetrans",
        "0",
        CellStatus.NOISY,
        is_finished,
        cell_checks.retransmits,
    ),
    Gate(
        "overflows",
        "The accept queue did not overflow",
        "ListenOverflows, except in ramp",
        "0",
        CellStatus.NOISY,
        has_traffic,
        cell_checks.counted(
            "the accept queue overflowed {} times", lambda cell: cell.tcp.get("ListenOverflows")
        ),
    ),
    Gate(
        "softnet",
        "The kernel dropped nothing",
        "softnet_stat, dropped",
        "0",
        CellStatus.NOISY,
        is_finished,
        cell_checks.counted(
            "the kernel's receive backlog dropped {} packets",
            lambda cell: cell.tcp.get("softnet_dropped"),
        ),
    ),
    Gate(
        "throttled",
        "No CPU quota",
        "throttled periods of the server's cgroup",
        "0, if the cgroup reports it",
        CellStatus.NOISY,
        lambda record: record.host.nr_throttled is not None,
        cell_checks.counted(
            "a CPU quota throttled the server in {} periods", lambda cell: cell.host.nr_throttled
        ),
        needs_server=True,
    ),
)
