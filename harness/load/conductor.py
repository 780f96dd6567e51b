"""The course of one trial: wait for the server, then each step and each of its cells in order.

    ready → baseline → for each step: ramp to N → its cells with traffic → back to 0 → … → done

After the last step the connections stay open: the end of this process closes them. Trials that run
side by side take turns: after the ramp and after each window, or each part of one.

Rule 1: a finished cell is told at once, so whatever happens next cannot take it away.
Rule 2: a fault of the server is a result: it is told in one sentence with its numbers.
Rule 3: every wait has an end, and while waiting the server is watched. (The wait for a turn ends
with the harness; the server is looked at after it.)
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import gevent

from harness.contract.address import parse
from harness.contract.campaign_lines import Totals
from harness.contract.cell_record import FailureFigures, MemoryFigures
from harness.contract.events import Events
from harness.contract.load_events import CallsCounted, CellMeasured, Done, Ready, SeenServer
from harness.contract.statuses import FailureCode
from harness.contract.trial_spec import PlacedCell, PlacedStep, TrialSpec
from harness.host import cpu_accounting, discovery, sockets
from harness.host.fair_wait import Wait
from harness.host.wait_budget import Reading, Spent
from harness.load import cell_records, problems, ready
from harness.load.locust.fleet import Fleet, FleetFault
from harness.load.locust.runners import local_fleet, master_fleet
from harness.load.merged_figures import Status, Window, merge_ramp
from harness.load.probe.counter_snapshots import Snapshots
from harness.load.probe.memory_use import Memory
from harness.load.probe.readings import Probe, ServerGone
from harness.load.probe.unseen_server import Unseen
from harness.load.problems import TrialFailed
from harness.load.progress_events import Progress
from harness.load.tracing import call_counts
from harness.load.trial_requests import TrialRequests
from harness.load.turns import Traffic
from harness.load.watch import DEATH_S, Watch

CLOSE_WAIT_S = 1.0


def run(trial: TrialSpec, events: Events, workers: list[subprocess.Popen[bytes]]) -> None:
    """Conduct the trial up to its *done* event; started processes are added to `workers`.

    Raises TrialFailed, FleetFault, or ReaderGone.
    """
    # Engines and workers come up while the server does, not after it
    fleet = master_fleet(trial, workers) if trial.workers else local_fleet(trial)
    traffic = ready.Traffic()
    requests = TrialRequests(events)
    probe, baseline = await_server(trial, events, requests, traffic)
    probe.load_pids = (os.getpid(), *(worker.pid for worker in workers))
    Conductor(trial, events, requests, fleet, probe, baseline).conduct(traffic)


def await_server(
    trial: TrialSpec, events: Events, requests: TrialRequests, traffic: ready.Traffic
) -> tuple[Probe, Memory | None]:
    """Wait for a verified echo, find the server, read its baseline. Raises TrialFailed."""
    address = parse(trial.address)
    unseen = Unseen(address) if trial.unseen else None
    waiting = Wait(trial.timeouts.ready_s, None if trial.unseen else requests.spent)
    try:
        # Sysctls are set in a namespace of the trial's own only
        ready_s = ready.wait(address, waiting, traffic, is_private=bool(trial.sysctls))
    except ready.NotReady as error:
        raise TrialFailed(FailureCode.NOT_READY, str(error), waiting.spent) from None
    except ready.WrongEcho as error:
        raise TrialFailed(FailureCode.WRONG_ECHO, str(error)) from None
    if unseen is not None:
        events.tell(Ready(ready_s=ready_s, server=None, baseline=None))
        return unseen, None
    try:
        server = discovery.find(address, trial.tree)
    except discovery.Escaped as escaped:
        raise TrialFailed(FailureCode.ESCAPED, str(escaped)) from None
    if server is None:
        if not sockets.listeners(address):
            gone = f"nobody listens on {address.text} any more"
            raise TrialFailed(
                FailureCode.SERVER_DIED, f"the server died after its first echo: {gone}"
            )
        raise TrialFailed(
            FailureCode.LOAD_ERROR,
            f"{address.text} echoes, but no process that may be looked into holds its listening "
            "socket: server and load need one user and one PID namespace",
        )
    probe = Probe.of(address, server, trial.tree)
    try:
        watch = Watch(probe.check_alive)
        watch.until(lambda: probe.still_open() == 0, CLOSE_WAIT_S)
        baseline = requests.memory(probe, -1)
    except ServerGone as gone:
        text = f"the server died after its first echo: {gone}"
        raise TrialFailed(FailureCode.SERVER_DIED, text) from None
    figures = MemoryFigures(**baseline.as_json()) if baseline else None
    seen = SeenServer(**asdict(server))
    events.tell(Ready(ready_s=ready_s, server=seen, baseline=figures))
    return probe, baseline


class Conductor:
    """Takes a server that is ready through all steps with a fleet of engines."""

    def __init__(
        self,
        trial: TrialSpec,
        events: Events,
        requests: TrialRequests,
        fleet: Fleet,
        probe: Probe,
        baseline: Memory | None,
    ) -> None:
        self._trial = trial
        self._events = events
        self._fleet = fleet
        self._probe = probe
        self._baseline = baseline
        self._progress = Progress(events, fleet, len(trial.cells))
        self._watch = Watch(probe.check_alive, self._check_fleet)
        self._snapshots = Snapshots(probe.pids, wanted=trial.counters)
        self._requests = requests
        self._read = None if trial.unseen else self._spent
        self._traffic = Traffic(trial, fleet, probe, self._watch, self._snapshots, self._read)
        # How the CPU time went in the ramp of this step
        self._opening: Spent | None = None
        # The harness has checked where the server may run: nowhere else from then on
        self._server_cpus = probe.cpus | set(trial.server_cpus)

    def conduct(self, traffic: ready.Traffic) -> None:
        """Run all steps and tell the totals, those of the readiness probe included, if exact.

        Raises TrialFailed, FleetFault or ReaderGone; then the engines have been told to stop.
        """
        self._fleet.begin()
        try:
            for step in self._trial.steps:
                self._step(step)
                if step is not self._trial.steps[-1]:
                    self._release(step.cells[-1])
        except Exception:
            self._fleet.stop()
            raise
        finally:
            self._progress.stop()
        self._events.tell(Done(totals=self._totals(traffic) if traffic.is_exact else None))

    def _spent(self) -> Reading:
        return self._probe.complete(self._requests.spent())

    def _totals(self, traffic: ready.Traffic) -> Totals:
        status = self._fleet.status()
        connections = status.requested - status.failed + status.cycles
        return Totals(
            connections=connections + traffic.connections,
            bytes_sent=status.bytes_sent + traffic.bytes_sent,
            bytes_received=status.bytes_received + traffic.bytes_received,
            echoes=status.echoes + traffic.echoes,
        )

    # One step

    def _step(self, step: PlacedStep) -> None:
        self._progress.show(step.cells[0])
        problem = self._guarded(step.cells[0], partial(self._ramp, step))
        run = self._xray_cell if self._trial.xray else self._traffic_cell
        for cell in step.traffic:
            if problem is not None:
                self._emit_unreached(cell, problem, self._opening)
                continue
            self._guarded(cell, partial(self._rest, cell.index))
            self._progress.show(cell)
            self._guarded(cell, partial(run, cell))

    def _guarded(self, cell: PlacedCell, run: Callable[[], Any]) -> Any:
        """Run a part of a cell; a server that dies in it ends cell and trial with what was seen."""
        try:
            return run()
        except ServerGone as gone:
            death = problems.death(cell, str(gone), self._fleet.status())
            self._emit(cell_records.blank(cell) | {"failure": death})
            raise problems.fatal(death) from None

    def _release(self, last: PlacedCell) -> None:
        """Back to zero connections, on the server's side as well."""
        stop_s = self._trial.timeouts.stop_s
        try:
            self._rest(last.index + 1)
            self._fleet.scale(0)
            self._watch.until(lambda: self._held(self._fleet.status()) == 0, stop_s)
            self._watch.until(lambda: self._probe.still_open() == 0, stop_s)
        except ServerGone as gone:
            # The cell itself was told already
            death = problems.death(last, str(gone), self._fleet.status())
            raise problems.fatal(death) from None

    def _rest(self, cell: int) -> None:
        """Let the trials beside this one have their turns, up to those of `cell`.

        A trial whose churn has begun keeps the turn to its end: the closed connections that the
        kernel remembers go with its network namespace only, and slow the churn of others.

        Raises ServerGone when the server died meanwhile.
        """
        has_churned = any(one.closing for one in self._trial.cells[:cell])
        if self._trial.side_by_side and not has_churned:
            began_s = time.monotonic()
            self._probe.rest()
            self._requests.turn(cell)
            self._probe.resume()
            self._progress.skip(time.monotonic() - began_s)
            self._watch.check()
            self._fleet.ask()  # what it last heard is of before

    def _check_fleet(self) -> None:
        """Raise FleetFault, unless it is the server's death that made an engine complain.

        A process that dies closes its sockets first and is seen to be gone a moment later.
        """
        try:
            self._fleet.check()
        except FleetFault:
            gevent.sleep(DEATH_S)
            self._probe.check_alive()
            raise

    @staticmethod
    def _held(status: Status) -> int:
        return status.established + status.connecting

    # The ramp

    def _ramp(self, step: PlacedStep) -> FailureFigures | None:
        """Open N connections as a storm, tell the ramp cell; return why N were not reached."""
        before = self._fleet.status()
        # Without a ramp cell no figure of the opening is kept: 10,000 tasks are not read for it
        tasks_open = self._probe.tasks() if step.opening is not None else None
        first = self._probe.edge(opens=True)
        opening = Wait(self._trial.timeouts.connect_s, self._read).begin()
        self._fleet.ramp()
        self._fleet.scale(step.connections)
        self._watch.until_over(lambda: self._settled(before, step.connections), opening)
        self._opening = opening.end()
        self._probe.refresh()
        last = self._probe.edge(opens=False)
        status = self._fleet.status()
        kernel = self._probe.established()
        waited_s, ceiling = opening.waited_s, self._trial.ceiling
        problem = problems.shortfall(step.connections, before, status, waited_s, ceiling)
        if step.opening is not None and tasks_open is not None:
            # Memory first: reading 10,000 tasks leaves dentries and inodes of /proc in the slab
            memory = self._read_memory(step.opening)
            tasks_close = self._probe.tasks()
            readings = cell_records.Readings(
                first, last, tasks_open, tasks_close, memory, self._baseline
            )
            self._emit_ramp(step.opening, readings, before, status, kernel, problem)
        return problem

    def _settled(self, before: Status, connections: int) -> bool:
        status = self._fleet.status()
        asked = status.requested - before.requested == connections
        return asked and status.connecting == 0

    def _emit_ramp(
        self,
        cell: PlacedCell,
        readings: cell_records.Readings,
        before: Status,
        status: Status,
        kernel: int,
        problem: FailureFigures | None,
    ) -> None:
        ramp = merge_ramp(status.ramps)
        failed = status.failed - before.failed
        members = cell_records.ramp_members(ramp, status.established, failed, problem is None)
        members |= {
            "connections_established_min": min(kernel, status.established),
            **cell_records.changes(before, status),
            "failure": problem,
            **cell_records.wait_member(self._opening),
        }
        self._emit(cell_records.blank(cell) | members | self._observed(readings, None))

    def _emit_unreached(
        self, cell: PlacedCell, problem: FailureFigures, spent: Spent | None
    ) -> None:
        """Tell a cell that was not run, because its step does not hold its connections."""
        if self._trial.xray:
            self._emit_xray(cell, call_counts.not_counted(problem.text))
            return
        self._emit_failed(cell, problems.not_run(problem), spent)

    def _emit_failed(
        self, cell: PlacedCell, failure: FailureFigures, spent: Spent | None, **members: Any
    ) -> None:
        """Tell a cell that has no window; `spent` is of the wait that ended in vain."""
        established = self._fleet.status().established
        members |= {"connections_established_min": established, "failure": failure}
        self._emit(cell_records.blank(cell) | members | cell_records.wait_member(spent))

    # A cell whose system calls are counted

    def _xray_cell(self, cell: PlacedCell) -> None:
        self._probe.refresh()
        counted = call_counts.count(cell, self._trial, self._probe.pids, self._fleet, self._watch)
        self._emit_xray(cell, counted)

    def _emit_xray(self, cell: PlacedCell, counted: dict[str, Any]) -> None:
        self._events.tell(CallsCounted(**cell_records.asked(cell), **counted))

    # A cell with traffic

    def _traffic_cell(self, cell: PlacedCell) -> None:
        """Measure the cell's window, in its turns; tell the cell, good or not."""
        problem = self._traffic.obstacle(cell)
        before = self._fleet.status()
        if problem is not None:
            self._emit_unreached(cell, problem, self._traffic.waited or self._opening)
            return
        self._probe.refresh()
        problem = self._traffic.warm_up(cell)
        if problem is not None:
            changes = cell_records.changes(before, self._fleet.status())
            self._emit_failed(cell, problem, self._traffic.waited, **changes)
            return
        account = None if self._trial.unseen else partial(self._requests.account, cell.index)
        seen = self._traffic.run(cell, partial(self._rest, cell.index), account)
        after = self._fleet.status()
        strayed = problems.strayed(seen.tasks_open.cpus | seen.tasks_close.cpus, self._server_cpus)
        readings = cell_records.Readings(
            *(seen.first, seen.last, seen.tasks_open, seen.tasks_close),
            *(self._read_memory(cell), self._baseline),
        )
        members = cell_records.window_members(seen.window) | {
            "counters_asked": self._snapshots.asked(self._watch),
            "connections_established_min": seen.established_min,
            **cell_records.changes(before, after),
            **cell_records.churn_members(seen.window, after.cycles_failed - before.cycles_failed),
            "failure": strayed or seen.problem,
            **cell_records.wait_member(self._traffic.waited),
        }
        observed = self._observed(
            readings,
            seen.window,
            cpu_accounting.account(seen.accounts, len(self._trial.server_cpus)),
        )
        self._emit(cell_records.blank(cell) | members | observed)
        if strayed is not None:
            raise problems.fatal(strayed)

    # Shared by all cells

    def _observed(
        self,
        readings: cell_records.Readings,
        window: Window | None,
        charged: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        echoes_per_s = window.echoes_per_s if window is not None else 0.0
        first, last, cpus = readings.open, readings.close, self._trial.server_cpus
        server = None
        if not self._trial.unseen:
            server = cell_records.server_members(readings, cpus, echoes_per_s, charged)
        return {
            "server": server,
            "generator": cell_records.generator_members(
                readings, self._trial.load_cpus, self._trial.workers, window, self._trial.may_spin
            ),
            "tcp": cell_records.tcp_members(first, last),
            "host": cell_records.host_members(first, last),
        }

    def _read_memory(self, cell: PlacedCell) -> Memory | None:
        if self._trial.unseen:
            return None
        return self._requests.memory(self._probe, cell.index)

    def _emit(self, cell_record: dict[str, Any]) -> None:
        failure, ceiling = cell_record["failure"], self._trial.ceiling
        if ceiling is not None and failure is not None and failure.code == FailureCode.CAPPED:
            cell_record["capped"] = asdict(ceiling)
        self._events.tell(CellMeasured(**cell_record))
