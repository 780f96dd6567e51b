"""Campaigns that nobody measured, for tests only: seeded, and shaped as the store has them.

The figures come from a toy model (a cost per echo, and one per idle connection and wake-up), so
that reports have something to say; nothing here is evidence of anything.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram
from lines import require_known

from harness.contract.cell_record import CellRecord
from harness.contract.stored_campaign import StoredHead
from harness.contract.stored_cell import StoredCell
from harness.gates import judge

CONNECTIONS = (100, 1_000, 10_000)
WINDOW_S = 1.5
FDSET_HELD = 1_019
SHARES = (0.3, 0.6, 0.8, 0.9)


@dataclass(frozen=True)
class Toy:
    """CPU µs per echo, and more per open connection; KiB of memory per connection."""

    title: str
    base_us: float
    idle_us: float
    active_us: float
    user_kib: float = 0.3
    stack_kib: float = 0.0
    kernel_kib: float = 4.2
    storm_s: float = 0.4
    limits: dict[str, Any] | None = None


FDSET = {"connections_max": FDSET_HELD, "beyond": "refuse", "reason": "FD_SETSIZE is 1024"}
TOYS = {
    "epoll-et": Toy("epoll, edge-triggered", 6.4, 0.00002, 0.0003),
    "epoll-lt": Toy("epoll, level-triggered", 6.3, 0.00002, 0.0003),
    "poll": Toy("poll", 6.2, 0.0020, 0.0003, storm_s=0.9),
    "select": Toy("select, own bitmap", 6.4, 0.0017, 0.0004, storm_s=0.8),
    "select-fdset": Toy("select, fd_set", 6.3, 0.0018, 0.0004, limits=FDSET),
    "thread-per-connection": Toy(
        "one thread per connection", 9.4, 0.00005, 0.0006, 0.5, 8.1, 24.0, storm_s=1.6
    ),
}


def campaign(
    *,
    trials: int = 3,
    connections: tuple[int, ...] = CONNECTIONS,
    state: str = "done",
    paced: bool = False,
    others: bool = False,
) -> dict[str, Any]:
    """`campaign.json` of a campaign of all toys; `paced` adds open loops at 1,000 connections.

    `others` adds payload, depth and churn there.
    """
    steps: list[dict[str, Any]] = [
        {"connections": n, "cells": [_plan(*cell) for cell in _cells(n)]} for n in connections
    ]
    if paced:
        steps[1]["cells"] += _paced_cells()
    if others:
        steps[1]["cells"] += _other_cells()
    return {
        "schema": 1,
        "campaign": "20260301-140200-quick",
        "created_utc": "2026-03-01T14:02:00+00:00",
        "state": state,
        "profile": {
            "name": "quick",
            "summary": "A toy.",
            "ranked": True,
            "trials": trials,
            "timing": {"warmup_s": 0.5, "window_s": WINDOW_S},
        },
        "seed": 7,
        "argv": ["c10k", "run", "--profile", "quick", "--seed", "7"],
        "backend": "process",
        "isolated": True,
        "environment": {
            "kernel": "6.1.0-toy",
            "cpu_model": "Toy CPU 9000",
            "cpus_online": 2,
            "cpus_server": [1],
            "cpus_load": [0],
            "memory_bytes": 8 << 30,
            "harness": "0.1.0",
            "git": "1a2b3c4",
        },
        "variants": [
            {
                "name": name,
                "title": toy.title,
                "architecture": name,
                "language": "C++",
                "workers": 1,
                "status": "stable",
                "summary": f"{toy.title}: a toy.",
                "limits": toy.limits,
                "digest": f"{index:064x}",
            }
            for index, (name, toy) in enumerate(TOYS.items())
        ],
        "plan": [
            {"id": f"{block}-{name}", "block": block, "variant": name, "seed": 1, "steps": steps}
            for block in range(1, trials + 1)
            for name in TOYS
        ],
    }


def records(head: dict[str, Any], seed: int = 1) -> list[dict[str, Any]]:
    """The cells of all trials of the plan, judged like real ones."""
    dice = random.Random(seed)  # noqa: S311 (figures to repeat, not secrets)
    facts = StoredHead.of(head).facts
    blocks = sorted({trial["block"] for trial in head["plan"]})
    drifts = {block: dice.gauss(1, 0.01) for block in blocks}
    lines = []
    for trial in head["plan"]:
        drift = drifts[trial["block"]]
        cells = [cell for step in trial["steps"] for cell in step["cells"]]
        for index, cell in enumerate(cells):
            line = _record(trial["variant"], cell, dice, drift)
            if line is None:
                continue
            line |= {"schema": 1, "campaign": head["campaign"], "variant": trial["variant"]}
            line |= {"block": trial["block"], "trial": trial["id"], "attempt": 1, "cell": index}
            verdict = judge(StoredCell.of(line), facts[trial["variant"]])
            line |= {"status": verdict.status, "reasons": [list(r) for r in verdict.reasons]}
            require_known(line, CellRecord)
            lines.append(line)
    return lines


def outcomes(head: dict[str, Any]) -> list[dict[str, Any]]:
    """One good outcome per trial of the plan."""
    return [
        {
            "schema": 1,
            "trial": trial["id"],
            "variant": trial["variant"],
            "block": trial["block"],
            "attempt": 1,
            "outcome": "done",
            "code": "",
            "text": "",
            "exit_code": 0,
            "log_tail": "",
            "reconciled": True,
            "duration_s": 21.5,
        }
        for trial in head["plan"]
    ]


def multiplied(
    head: dict[str, Any], lines: list[dict[str, Any]], count: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A campaign and its records with `count` servers: the toys again and again, numbered."""
    known = [variant["name"] for variant in head["variants"]]
    names = [(known[place % len(known)], place // len(known)) for place in range(count)]

    def copies(found: list[dict[str, Any]], key: str, *named: str) -> list[dict[str, Any]]:
        return [
            one | {field: one[field].replace(name, f"{name}-{again}") for field in (key, *named)}
            if again
            else one
            for name, again in names
            for one in found
            if one[key] == name
        ]

    variants = copies(head["variants"], "name")
    plan = copies(head["plan"], "variant", "id")
    return head | {"variants": variants, "plan": plan}, copies(lines, "variant", "trial")


def failed_cell(line: dict[str, Any], code: str, text: str) -> dict[str, Any]:
    """What is left of a cell that failed: who it was, and why."""
    who = ("schema", "campaign", "variant", "block", "trial", "attempt", "cell", "scenario")
    kept = (*who, "connections_requested", "active", "payload_bytes", "depth", "rate_offered_per_s")
    return {name: line[name] for name in kept} | {"failure": {"code": code, "text": text}}


def _cells(connections: int) -> list[tuple[str, int, int]]:
    return [
        ("ramp", connections, 0),
        ("idle", connections, min(100, connections)),
        ("active", connections, connections),
    ]


def _paced_cells() -> list[dict[str, Any]]:
    cell = _plan("paced", 1_000, 1_000)
    common = [cell | {"rate_per_s": 2_000.0}]
    return common + [cell | {"rate_share": share} for share in SHARES]


def _other_cells() -> list[dict[str, Any]]:
    payload, depth, churn = (_plan(name, 1_000, 100) for name in ("payload", "depth", "churn"))
    return [
        payload | {"payload_bytes": 1_024},
        payload | {"payload_bytes": 16_384},
        depth | {"depth": 8},
        churn | {"closing": "fin"},
        churn | {"closing": "rst"},
    ]


def _plan(scenario: str, connections: int, active: int) -> dict[str, Any]:
    traffic = scenario != "ramp"
    return {
        "scenario": scenario,
        "connections": connections,
        "active": active,
        "payload_bytes": 64,
        "depth": 1,
        "rate_per_s": None,
        "warmup_s": 0.5 if traffic else 0.0,
        "window_s": WINDOW_S if traffic else 0.0,
    }


def _record(
    name: str, cell: dict[str, Any], dice: random.Random, drift: float
) -> dict[str, Any] | None:
    toy, connections = TOYS[name], cell["connections"]
    ceiling: int | None = toy.limits["connections_max"] if toy.limits else None
    is_capped = ceiling is not None and connections > ceiling
    if is_capped and cell["scenario"] != "ramp":
        return None
    held = ceiling if is_capped and ceiling else connections
    line: dict[str, Any] = {
        "scenario": cell["scenario"],
        "connections_requested": connections,
        "connections_established_min": held,
        "active": cell["active"],
        "payload_bytes": cell["payload_bytes"],
        "depth": cell["depth"],
        "closing": cell.get("closing"),
        "rate_offered_per_s": None,
        "corrupt_bytes": 0,
        "lost": 0,
        "errors": {},
        "server": {"threads": connections + 1 if toy.stack_kib else 1} | _memory(toy, held, dice),
        "tcp": {"RetransSegs": 0, "TCPSynRetrans": 0, "ListenOverflows": 0, "softnet_dropped": 0},
        "host": {"steal_ticks": 0},
        "limits": {"asked": {"nofile": 10_200}, "applied": {"nofile": [10_200, 10_200]}},
        "failure": None,
        "capped": None,
    }
    if is_capped:
        text = f"holds {held:,} of {connections:,}"
        line |= {"failure": {"code": "capped", "text": text}, "capped": toy.limits}
    if cell["scenario"] == "ramp":
        return line | _ramp(toy, connections, held, dice)
    if cell["scenario"] == "paced":
        return line | _paced(toy, cell, dice, drift)
    return _with_traffic(line, toy, cell, dice, drift)


def _paced(toy: Toy, cell: dict[str, Any], dice: random.Random, drift: float) -> dict[str, Any]:
    """An open loop on its way to the knee of a single queue: latency ~ 1 / (1 - load)."""
    cost_us = (toy.base_us + toy.active_us * cell["connections"]) * drift
    share = cell.get("rate_share")
    rate = share * 1e6 / cost_us if share else cell["rate_per_s"]
    load = rate * cost_us / 1e6
    mean_us = (60 + cost_us) / (1 - load)
    echoes = round(rate * WINDOW_S)
    is_reached = load < 0.85
    return {
        "rate_offered_per_s": rate,
        "rate_share": share,
        "window_s": WINDOW_S,
        "echoes": echoes,
        "echoes_per_s": echoes / WINDOW_S,
        "latency_us": {"p50": mean_us, "p99": mean_us * 1.6, "mean": mean_us, "count": echoes},
        "self_delay_us": {"p50": 8.0, "p99": 25.0, "mean": 9.0, "count": echoes},
        "histogram": _histogram(mean_us, dice),
        "server": {
            "threads": 1,
            "cpu_ns": max(2e8, round(echoes * cost_us * 1e3)),
            "interval_ns": round(WINDOW_S * 1e9),
            "cpu_busy": load,
            "stat_ticks": {"user": 20, "system": 60, "idle": 70, "steal": 0},
        },
        "generator": {
            "cpu_busy": 0.99,
            "useful_busy": 0.7 if is_reached else 0.93,
            "little_outstanding": rate * mean_us / 1e6,
            "missed_sends": 0,
            "send_lag_us": {"p99": 20.0, "count": echoes},
            "stat_ticks": {"user": 30, "system": 60, "idle": 60, "steal": 0},
        },
    }


def _with_traffic(
    line: dict[str, Any], toy: Toy, cell: dict[str, Any], dice: random.Random, drift: float
) -> dict[str, Any]:
    connections, active = cell["connections"], cell["active"]
    per_open_us = toy.idle_us if cell["scenario"] == "idle" else toy.active_us
    cost_us = (toy.base_us + per_open_us * connections) * drift * dice.gauss(1, 0.006)
    cost_us *= (1 + cell["payload_bytes"] / 20_000) / (1 + 0.7 * (cell["depth"] - 1))
    if closing := cell.get("closing"):
        cost_us *= {"fin": 3.0, "rst": 2.5}[closing]
        line["connections_established_min"] -= active  # of those that stay open
        line["churn"] = {"failed": 0, "connect_us": {"p50": 20.0, "p99": 9.0 * cost_us}}
    busy = min(1.0, 0.9 * cost_us / 7.0)
    rate = busy * 1e6 / cost_us
    load = active * cell["depth"]
    mean_us = load / rate * 1e6
    echoes = round(rate * WINDOW_S)
    ticks = round(WINDOW_S * 100)
    line["server"] |= {
        "cpu_ns": round(echoes * cost_us * 1e3),
        "interval_ns": round(WINDOW_S * 1e9),
        "cpu_busy": busy,
        "stat_ticks": _ticks(busy, ticks),
        "switches": {"voluntary": echoes // 90, "involuntary": 40, "interval_s": WINDOW_S},
    }
    return line | {
        "window_s": WINDOW_S,
        "echoes": echoes,
        "echoes_per_s": echoes / WINDOW_S,
        "parts_per_s": [rate * share for share in (0.98, 1.02) * 5],
        "latency_us": {"p50": mean_us, "p99": mean_us * 1.6, "mean": mean_us, "count": echoes},
        "histogram": _histogram(mean_us, dice),
        "generator": {
            "cpu_busy": 0.99,
            "little_outstanding": float(load),
            "missed_sends": 0,
            "send_lag_us": {"p99": 20.0},
            "stat_ticks": {"user": 30, "system": ticks - 30, "idle": 0, "steal": 0},
        },
    }


def _ticks(busy: float, ticks: int) -> dict[str, int]:
    used = round(busy * ticks)
    return {"user": 20, "system": used - 20, "idle": ticks - used, "steal": 0}


def _memory(toy: Toy, connections: int, dice: random.Random) -> dict[str, Any]:
    baseline = {"user": 250_000, "stack": 0, "kernel": 900_000, "sockets": 0}
    used = {
        "user": baseline["user"] + toy.user_kib * 1024 * connections * dice.gauss(1, 0.01),
        "stack": toy.stack_kib * 1024 * connections,
        "kernel": baseline["kernel"] + toy.kernel_kib * 1024 * connections * dice.gauss(1, 0.01),
        "sockets": 0,
    }
    return {
        "memory_bytes": {kind: round(value) for kind, value in used.items()},
        "memory_baseline_bytes": baseline,
        "memory_kernel_source": "cgroup-v2",
    }


def _ramp(toy: Toy, connections: int, held: int, dice: random.Random) -> dict[str, Any]:
    seconds = toy.storm_s * connections / 10_000 * dice.gauss(1, 0.03)
    points = 40
    timeline = [
        [seconds * 1e3 * index / points, min(held, connections * index // points)]
        for index in range(points + 1)
    ]
    figures = {"p50": 90.0, "p99": 900.0 * toy.storm_s, "mean": 120.0, "count": held}
    return {
        "window_s": seconds,
        "echoes": held,
        "connect_us": figures,
        "hello_us": figures | {"p99": 400_000.0 * toy.storm_s},
        "ramp": {
            "established": held,
            "failed": connections - held,
            "time_to_n_s": seconds if held == connections else None,
            "rate_per_s": held / seconds,
            "timeline": timeline,
        },
    }


def _histogram(mean_us: float, dice: random.Random) -> str:
    histogram = HdrHistogram(1, 60_000_000, 3)
    for _ in range(50):
        value = max(1, round(mean_us * dice.lognormvariate(0, 0.2)))
        histogram.record_value(value, 300)
    return str(histogram.encode().decode())
