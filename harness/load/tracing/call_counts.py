"""Counts the system calls of the server while one cell's traffic runs, by tracing it.

Tracing makes every call dearer, by strace many times, so nothing here is timed: what is counted is
how many calls an echo takes. The plan gives the traffic a slow pace, because in a closed loop a
server that is held up finds the next message where it would have found none. The tracer is attached
after the connections are open and detached after the last reply, so that the calls are those of the
traffic and of nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from harness.contract.trial_spec import PlacedCell, TrialSpec
from harness.load.locust.fleet import Fleet
from harness.load.tracing.perf import Perf
from harness.load.tracing.strace import Strace
from harness.load.tracing.tracer import ATTACH_S, Refused, Tracer
from harness.load.watch import Watch

# The first that can be attached counts: strace needs no root where the kernel lets it attach.
TRACERS: tuple[type[Tracer], ...] = (Strace, Perf)
# An order needs this long to reach every worker.
START_S = 0.05


def count(
    cell: PlacedCell, trial: TrialSpec, pids: Sequence[int], fleet: Fleet, watch: Watch
) -> dict[str, Any]:
    """Run the cell's traffic under the tracer: its calls by name and its echoes, or why not.

    Raises ServerGone or FleetFault.
    """
    try:
        tracer = attached(pids, watch)
    except Refused as refused:
        return not_counted(str(refused))
    try:
        before = fleet.status()
        order = _run_traffic(cell, trial, fleet, watch)
        settle_s = trial.timeouts.settle_s
        if not watch.until(lambda: _is_over(order, fleet), settle_s):
            raise Refused(f"not every reply came within {settle_s:g} s of the traffic's end")
        syscalls = tracer.detach()
        echoes = fleet.status().echoes - before.echoes
        return {"tool": tracer.name, "syscalls": syscalls, "echoes": echoes, "reason": None}
    except Refused as refused:
        return not_counted(str(refused))
    finally:
        tracer.close()
        fleet.stop()


def attached(pids: Sequence[int], watch: Watch) -> Tracer:
    """The first tool that counts the calls of these processes here, which it does from now on.

    Raises Refused, with the reason of each tool, or ServerGone.
    """
    reasons = []
    for kind in TRACERS:
        tracer = kind(pids, watch)
        try:
            tracer.attach()
        except Refused as refused:
            reasons.append(str(refused))
            tracer.close()
        except BaseException:
            tracer.close()
            raise
        else:
            return tracer
    raise Refused("; ".join(reasons))


def not_counted(reason: str) -> dict[str, Any]:
    """What is told of a cell whose calls are not known."""
    return {"tool": None, "syscalls": None, "echoes": None, "reason": reason}


def _run_traffic(cell: PlacedCell, trial: TrialSpec, fleet: Fleet, watch: Watch) -> int:
    """Run it to its last send; the number of its order."""
    start_ns = time.monotonic_ns() + int(max(cell.warmup_s, START_S) * 1e9)
    end_ns = start_ns + int(cell.window_s * 1e9)
    order = fleet.start(cell, trial.seed + cell.index, start_ns, end_ns, spin=trial.may_spin)
    watch.sleep_until(end_ns)
    watch.until(lambda: fleet.windows(order) is not None, ATTACH_S)
    fleet.stop()
    return order


def _is_over(order: int, fleet: Fleet) -> bool:
    return fleet.stopped(order) and fleet.status().outstanding == 0
