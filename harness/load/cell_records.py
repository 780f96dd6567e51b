"""One finished cell as the record that the harness stores. Pure: readings in, plain values out.

Every record has every key, whatever the scenario and however the cell ended: what was not measured
is null.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract.trial_spec import PlacedCell
from harness.engine import histogram
from harness.host.procfs import IDLE_NAMES
from harness.host.wait_budget import Spent
from harness.load.merged_figures import Ramp, Status, Window, differences, per
from harness.load.probe.memory_use import KERNEL_SOURCE, Memory
from harness.load.probe.readings import Edge, TaskSample

_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Readings:
    """What the probe read around one cell; the edges of a ramp are its beginning and its end."""

    open: Edge
    close: Edge
    tasks_open: TaskSample
    tasks_close: TaskSample
    memory: Memory | None
    memory_baseline: Memory | None


def asked(cell: PlacedCell) -> dict[str, Any]:
    """What the plan asked for."""
    return {
        "cell": cell.index,
        "scenario": cell.scenario,
        "connections_requested": cell.connections,
        "active": cell.active,
        "payload_bytes": cell.payload_bytes,
        "depth": cell.depth,
        "rate_offered_per_s": cell.rate_per_s,
        "turns": cell.turns,
    }


def blank(cell: PlacedCell) -> dict[str, Any]:
    """The record of a cell of which nothing is known but what was asked."""
    return {
        **asked(cell),
        "connections_established_min": 0,
        "closing": cell.closing,
        "window_s": 0.0,
        "echoes": 0,
        "echoes_per_s": 0.0,
        "parts_per_s": None,
        "corrupt_bytes": 0,
        "lost": 0,
        "errors": {},
        "latency_us": None,
        "self_delay_us": None,
        "histogram": None,
        "connect_us": None,
        "hello_us": None,
        "ramp": None,
        "churn": None,
        "server": None,
        "generator": None,
        "tcp": None,
        "host": None,
        "counters_asked": None,
        "wait": None,
        "failure": None,
        "capped": None,
    }


def wait_member(spent: Spent | None) -> dict[str, Any]:
    """How the CPU time went in the ramp, or in a wait that ended in vain."""
    return {"wait": spent.as_json() if spent else None}


def ramp_members(ramp: Ramp, established: int, failed: int, reached: bool) -> dict[str, Any]:
    """The members of a ramp: how fast the connections came, and how many did not."""
    elapsed_s = max(0, ramp.last_established_ns - ramp.first_connect_ns) / 1e9
    return {
        "window_s": elapsed_s,
        "connect_us": distribution(ramp.connect),
        "hello_us": distribution(ramp.hello),
        "ramp": {
            "established": established,
            "failed": failed,
            "time_to_n_s": elapsed_s if reached else None,
            "rate_per_s": established / elapsed_s if elapsed_s > 0 else None,
            "timeline": ramp.timeline,
        },
    }


def changes(before: Status, after: Status) -> dict[str, Any]:
    """What went wrong between two moments, warm-up and drain included."""
    return {
        "corrupt_bytes": after.corrupt_bytes - before.corrupt_bytes,
        "lost": after.lost - before.lost,
        "errors": differences(after.errors, before.errors),
    }


def window_members(window: Window) -> dict[str, Any]:
    """The members that come from the engines' window."""
    return {
        "window_s": window.window_ns / 1e9,
        "echoes": window.echoes,
        "echoes_per_s": window.echoes_per_s,
        "parts_per_s": window.parts_per_s,
        "latency_us": _latency(window),
        "self_delay_us": distribution(window.self_delay),
        "histogram": histogram.encode(window.latency),
    }


def churn_members(window: Window, failed: int) -> dict[str, Any]:
    """Cycles of connect, one echo and close: an echo is a cycle that came to its end.

    `failed` counts those of the warm-up and of the drain, too.
    """
    if window.connect is None:
        return {}
    figures = {
        "cycles": window.echoes,
        "cycles_per_s": window.echoes_per_s,
        "failed": failed,
        "connect_us": distribution(window.connect),
    }
    return {"churn": figures}


def server_members(
    readings: Readings, cpus: Iterable[int], echoes_per_s: float, charged: dict[str, Any] | None
) -> dict[str, Any]:
    """What the server's processes and CPUs did between the edges.

    `charged` is what the kernel charged it with from idle moment to idle moment, where that is
    known; the CPU time of an echo is then from there.
    """
    first, last = readings.open, readings.close
    interval_ns = last.stamp_ns - first.stamp_ns
    cpu_ns = last.server_cpu_ns - first.server_cpu_ns
    ticks = _ticks(first, last, cpus)
    waits = None
    if first.run_wait_ns is not None and last.run_wait_ns is not None:
        waits = last.run_wait_ns - first.run_wait_ns
    return {
        "cpu_ns": cpu_ns,
        "interval_ns": interval_ns,
        "cpu_busy": _busy(ticks),
        "stat_ticks": ticks,
        "cpu_us_per_echo": charged["cpu_ns"] / charged["echoes"] / 1e3
        if charged and charged["echoes"]
        else _us_per_echo(cpu_ns, interval_ns, echoes_per_s),
        "charged": charged,
        "user_us": (last.user_ticks - first.user_ticks) * _TICK_US,
        "system_us": (last.system_ticks - first.system_ticks) * _TICK_US,
        "threads": last.threads,
        "restarts": last.restarts,
        "switches": _switches(readings.tasks_open, readings.tasks_close),
        "run_wait_ns": waits,
        "memory_bytes": _memory(readings.memory),
        "memory_baseline_bytes": _memory(readings.memory_baseline),
        "memory_kernel_source": KERNEL_SOURCE if readings.memory else None,
    }


def generator_members(
    readings: Readings, cpus: Sequence[int], workers: int, window: Window | None, spin: bool
) -> dict[str, Any]:
    """What the load itself did: engine threads from the window, processes from the edges.

    `cpu_busy` is the share of a CPU that the busiest engine took, or that all of them took of the
    CPUs they share; `useful_busy` is the same without the passes of a spinning engine that found
    nothing to do, and so is `cpu_us_per_echo`. `workers` is 0 for the local runner. `spin`: whether
    the engines polled in the window; None where there was none.
    """
    first, last = readings.open, readings.close
    members: dict[str, Any] = {
        "cpu_busy": None,
        "useful_busy": None,
        "cpu_ns": None,
        "blocked_ns": None,
        "spun_ns": None,
        "spin": None,
        "send_lag_us": None,
        "missed_sends": None,
        "sends": None,
        "little_outstanding": None,
        "cpu_us_per_echo": None,
        "workers": workers,
        "process_cpu_ns": last.load_cpu_ns - first.load_cpu_ns,
        "run_wait_ns": last.load_wait_ns - first.load_wait_ns,
        "interval_ns": last.stamp_ns - first.stamp_ns,
        "stat_ticks": _ticks(first, last, cpus),
    }
    if window is not None:
        shared_ns = window.window_ns * min(max(workers, 1), len(cpus))
        members |= {
            "cpu_busy": max(window.cpu_busy, per(window.cpu_ns, shared_ns)),
            "useful_busy": max(window.useful_busy, per(window.useful_ns, shared_ns)),
            "cpu_ns": window.cpu_ns,
            "blocked_ns": window.blocked_ns,
            "spun_ns": window.spun_ns,
            "spin": spin,
            "send_lag_us": distribution(window.send_lag),
            "missed_sends": window.missed_sends,
            "sends": window.sends,
            "little_outstanding": window.outstanding,
            "cpu_us_per_echo": _us_per_echo(
                window.useful_ns, window.window_ns, window.echoes_per_s
            ),
        }
    return members


def tcp_members(first: Edge, last: Edge) -> dict[str, int]:
    """How the namespace's TCP counters grew that were shown at both edges; also by nothing."""
    return {name: count - first.tcp[name] for name, count in last.tcp.items() if name in first.tcp}


def host_members(first: Edge, last: Edge) -> dict[str, Any]:
    """What else happened on this host between the edges, over all its CPUs."""
    ticks = _ticks(first, last, last.cpu_ticks)
    pressure_us = None
    if first.pressure_us is not None and last.pressure_us is not None:
        pressure_us = last.pressure_us - first.pressure_us
    return {
        "steal_ticks": ticks.get("steal"),
        "stat_ticks": ticks,
        "cpu_pressure_us": pressure_us,
        "clock_step_ns": last.realtime_offset_ns - first.realtime_offset_ns,
    }


def distribution(merged: Any) -> dict[str, Any] | None:
    """The percentiles of a histogram; None when nothing was recorded."""
    if merged is None:
        return None
    figures = histogram.percentiles(merged)
    return dict(figures) if figures["count"] else None


def _latency(window: Window) -> dict[str, Any] | None:
    figures = distribution(window.latency)
    if figures is None:
        return None
    return figures | {"mean": window.latency_mean_us, "max": window.latency_max_us}


def _ticks(first: Edge, last: Edge, cpus: Iterable[int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for cpu in cpus:
        grown = _grown(last.cpu_ticks.get(cpu, {}), first.cpu_ticks.get(cpu, {}))
        for name, ticks in grown.items():
            total[name] = total.get(name, 0) + ticks
    return total


def _grown(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return dict.fromkeys(after, 0) | differences(after, before)


def _busy(ticks: Mapping[str, int]) -> float | None:
    total = sum(ticks.values())
    if total == 0:
        return None
    return 1.0 - sum(ticks.get(name, 0) for name in IDLE_NAMES) / total


def _us_per_echo(cpu_ns: float, interval_ns: float, echoes_per_s: float) -> float | None:
    """CPU per echo from two rates, because the two were measured over intervals of their own."""
    if echoes_per_s == 0 or interval_ns == 0:
        return None
    return cpu_ns / interval_ns * 1e6 / echoes_per_s


def _switches(first: TaskSample, last: TaskSample) -> dict[str, Any]:
    return {
        "voluntary": last.voluntary - first.voluntary,
        "involuntary": last.involuntary - first.involuntary,
        "interval_s": (last.stamp_ns - first.stamp_ns) / 1e9,
    }


def _memory(memory: Memory | None) -> dict[str, int | None] | None:
    return memory.as_json() if memory is not None else None
