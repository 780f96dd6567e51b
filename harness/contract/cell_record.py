"""One measured cell: what the load reports of it, and its line in `trials.jsonl`.

Every key is there, whatever the scenario and however the cell ended: what was not observed is null.
Units are the last part of a name; `*_us` are microseconds, `*_ns` nanoseconds of CLOCK_MONOTONIC
or of CPU time. `docs/data.md` is made from the descriptions here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from harness.contract.trial_spec import Closing


class Written(BaseModel):
    """What this version writes: frozen, strict, and without any other key."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _printable(text: object) -> object:
    """A text of the system may hold bytes that are no UTF-8."""
    return text.encode(errors="replace").decode() if isinstance(text, str) else text


Told = Annotated[str, BeforeValidator(_printable)]
# JSON has no tuples
Pair = Annotated[tuple[int | None, int | None], Field(strict=False)]
Numbers = Annotated[tuple[int, ...], Field(strict=False)]
Rates = Annotated[tuple[float, ...], Field(strict=False)]
Point = Annotated[tuple[float, int], Field(strict=False)]
Points = Annotated[tuple[Point, ...], Field(strict=False)]
Reason = Annotated[tuple[str, Told], Field(strict=False)]
Ticks = dict[str, int]
TcpFigures = dict[str, int]


class Percentiles(Written):
    """A distribution, by the engine's histogram of three digits."""

    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None = Field(description="null below 10,000 values")
    max: float | None = Field(description="of a latency: exact")
    mean: float | None = Field(description="of a latency: exact")
    count: int = Field(description="values")


class RampFigures(Written):
    """How fast the connections came."""

    established: int = Field(description="connections that were open at the end")
    failed: int = Field(description="connections that were not")
    time_to_n_s: float | None = Field(description="until all were open; null where some never were")
    rate_per_s: float | None = Field(description="connections per second")
    timeline: Points = Field(description="(ms since the first connect(2), connections open then)")


class ChurnFigures(Written):
    """Cycles of connect, one echo and close: an echo is a cycle that came to its end."""

    cycles: int
    cycles_per_s: float
    failed: int = Field(description="cycles, those of the warm-up and of the drain too")
    connect_us: Percentiles | None


class MemoryFigures(Written):
    """What the server holds, in bytes; null: not known."""

    user: int | None = Field(description="anonymous memory, without thread stacks")
    stack: int | None = Field(description="thread stacks")
    kernel: int | None = Field(description="charged to its control group, or estimated")
    sockets: int | None = Field(description="of the kernel's: socket buffers")
    slab: int | None = Field(
        description="half of what the host's slab grew by since the baseline; null where a control "
        "group counts the kernel's part"
    )


class Switches(Written):
    """Context switches of all its tasks."""

    voluntary: int
    involuntary: int
    interval_s: float = Field(description="between the two readings")


class Charged(Written):
    """What the kernel charged from idle moment to idle moment, over all turns of the window."""

    source: str = Field(description="`cgroup-v2`, `cgroup-v1` or `processes`")
    cpu_ns: int | None = Field(description="CPU time of the server")
    exact_ns: int = Field(description="by how much `cpu_ns` may be wrong")
    outside_ns: int | None = Field(description="of it, on CPUs that are not the server's")
    processes_ns: int = Field(description="the same by the clocks of its known processes")
    processes_exact_ns: int = Field(description="by how much `processes_ns` may be wrong")
    echoes: int = Field(description="in the same spans")
    span_ns: int = Field(description="length of the spans")
    cpus: int = Field(description="how many the server has")
    busy_ns: int | None = Field(description="run time of all tasks on the server's CPUs")
    busy_source: str | None = Field(description="where `busy_ns` was read")
    busy_exact_ns: int | None = Field(description="by how much `busy_ns` may be wrong")
    host_busy_ns: int | None = Field(description="run time of all tasks on all CPUs")
    host_exact_ns: int | None = Field(description="by how much `host_busy_ns` may be wrong")
    others_ns: int | None = Field(description="CPU time of all processes that are not the server's")
    loses_children: bool = Field(description="whether a process of it ignores SIGCHLD")


class ServerFigures(Written):
    """The server's processes and CPUs between the edges of the window."""

    cpu_ns: int = Field(description="run time of its known processes")
    interval_ns: int = Field(description="between the two readings")
    cpu_busy: float | None = Field(description="share of its CPUs that was busy, 0 to 1")
    stat_ticks: Ticks = Field(description="ticks of 10 ms of its CPUs, by kind (proc_stat(5))")
    cpu_us_per_echo: float | None
    charged: Charged | None
    user_us: float = Field(description="CPU time in user mode")
    system_us: float = Field(description="CPU time in the kernel")
    threads: int
    restarts: int = Field(description="processes that came since the first look")
    switches: Switches
    run_wait_ns: int | None = Field(description="time in which it was ready to run and did not")
    memory_bytes: MemoryFigures | None
    memory_baseline_bytes: MemoryFigures | None = Field(description="before any connection")
    memory_kernel_source: str | None = Field(description="the source of the kernel's part")
    counters: dict[str, int] | None = Field(
        default=None, description="what its own counters grew by in the window"
    )
    counters_reason: str | None = Field(default=None, description="why there are none")


class GeneratorFigures(Written):
    """What the load itself did: engine threads from the window, processes from the edges."""

    cpu_busy: float | None = Field(description="share of a CPU of the busiest engine, 0 to 1")
    useful_busy: float | None = Field(description="the same without passes that found nothing")
    cpu_ns: int | None = Field(description="CPU time of the engines")
    blocked_ns: int | None = Field(description="time in which they slept")
    spun_ns: int | None = Field(description="time of passes that found nothing")
    spin: bool | None = Field(description="whether they polled; null without a window")
    send_lag_us: Percentiles | None = Field(description="how late messages left")
    missed_sends: int | None = Field(description="sends that were due in the window and not made")
    sends: int | None
    little_outstanding: float | None = Field(description="messages under way, on average")
    cpu_us_per_echo: float | None
    workers: int = Field(description="Locust workers, 0 for the load alone")
    process_cpu_ns: int = Field(description="CPU time of the load's processes")
    run_wait_ns: int = Field(description="time in which they were ready to run and did not")
    interval_ns: int = Field(description="between the two readings")
    stat_ticks: Ticks = Field(description="ticks of 10 ms of its CPUs, by kind (proc_stat(5))")


class HostFigures(Written):
    """What else happened on this host, over all its CPUs."""

    steal_ticks: int | None = Field(description="ticks of 10 ms that the hypervisor took")
    stat_ticks: Ticks = Field(description="ticks of 10 ms of all CPUs, by kind (proc_stat(5))")
    cpu_pressure_us: int | None = Field(description="time in which some task waited for a CPU")
    clock_step_ns: int = Field(description="by how much CLOCK_REALTIME was set")
    nr_throttled: int | None = Field(
        default=None, description="periods in which a CPU quota stopped the server"
    )


class WaitFigures(Written):
    """How the CPU time went in the ramp, or in a wait that ended in vain."""

    span_ns: int = Field(description="how long it was")
    cpus: int = Field(description="how many the server has")
    server_ns: int | None = Field(description="run time of the server")
    busy_ns: int | None = Field(description="run time of all tasks on its CPUs")
    steal_ns: int | None = Field(description="what the hypervisor took of its CPUs")
    load_wait_ns: int | None = Field(description="time in which the load was ready and did not run")
    exact_ns: int = Field(description="by how much the first two may be wrong")


class FailureFigures(Written):
    """Why a cell has no valid figures."""

    code: str = Field(description="`c10k explain CODE` explains it")
    text: Told


class CountersAsked(Written):
    """Of one window: how many lines the server was asked for in all, and what is wrong with it."""

    lines: int
    reason: str | None


class CellFigures(Written):
    """What was asked for, and what the load measured of it."""

    cell: int = Field(description="place of the cell in its trial, from 0")
    scenario: str
    connections_requested: int
    active: int = Field(description="connections that send")
    payload_bytes: int
    depth: int = Field(description="messages under way on each active connection")
    rate_offered_per_s: float | None = Field(description="messages; null in a closed loop")
    turns: int = Field(description="parts in which the window came")
    connections_established_min: int = Field(description="in the window, at the lowest")
    closing: Closing | None = Field(description="how connections end in churn")
    window_s: float = Field(description="as measured; of a ramp, from first to last connection")
    echoes: int = Field(description="in the window")
    echoes_per_s: float
    parts_per_s: Rates | None = Field(description="echoes per second in each tenth of the window")
    corrupt_bytes: int
    lost: int = Field(description="connections that ended by themselves")
    errors: dict[str, int] = Field(description="{call and error: how often}")
    latency_us: Percentiles | None = Field(description="from send to the last byte of the reply")
    self_delay_us: Percentiles | None = Field(description="of it, the generator's own")
    histogram: str | None = Field(description="of the latency: HdrHistogram V2, base64")
    connect_us: Percentiles | None = Field(description="connect(2), in a ramp")
    hello_us: Percentiles | None = Field(description="connect(2) and the first echo, in a ramp")
    ramp: RampFigures | None
    churn: ChurnFigures | None
    server: ServerFigures | None = Field(description="null where its processes were not seen")
    generator: GeneratorFigures | None
    tcp: TcpFigures | None = Field(
        description="by how much the network namespace's TCP counters grew (nstat(8))"
    )
    host: HostFigures | None
    wait: WaitFigures | None
    failure: FailureFigures | None


class CeilingFigures(Written):
    """The wall that the server declares and that the cell met."""

    connections_max: int
    beyond: str | None = Field(description="what the next client sees")
    reason: str | None


class LimitsAsked(Written):
    """The limits that were asked for."""

    connections: int
    nofile: int
    pids: int
    sysctls: dict[str, str]
    cpus: Numbers = Field(description="of the server")


class LimitsApplied(Written):
    """The same, read back from inside; pairs are soft and hard limit, null: none."""

    sysctls: dict[str, str | None]
    load_cpus: Numbers
    load_nofile: Pair
    pids: Numbers = Field(description="the server's processes")
    keeper: int | None = Field(description="process that started the server")
    nofile: Pair
    processes: Pair
    pids_max: int | None
    cpus: Numbers = Field(description="on which the server's tasks may run")
    uid: int
    pid1: bool = Field(description="whether the server is the first process of its namespace")
    clamps: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        description="limits that could not be raised as far as asked"
    )


class Limits(Written):
    """What was asked for, and what was granted."""

    asked: LimitsAsked
    applied: LimitsApplied


class Place(Written):
    """Of which attempt at which trial of which campaign a line is."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    campaign: str
    variant: str = Field(description="the server")
    block: int = Field(description="from 1; 0 measures capacities and ranks nothing")
    wave: int = Field(description="its number in the block, from 1; 0 without waves")
    trial: str
    attempt: int = Field(description="at the trial, from 1")


class CellRecord(CellFigures, Place):
    """A line of `trials.jsonl`."""

    capped: CeilingFigures | None
    rate_share: float | None = Field(description="offered share of the server's capacity")
    limits: Limits
    status: str = Field(description="`valid`, `noisy`, `void` or `capped`, by the gates of then")
    reasons: Annotated[tuple[Reason, ...], Field(strict=False)] = Field(
        description="(gate, sentence) of each gate that it failed"
    )
