"""Traffic in turns: a cell's window is one turn, or several with other trials' turns in between.

    cell:  warm up → stop → drain → turn, turn, …
    turn:  account → warm up briefly → window → stop → drain → account

Rule 1: what was between two turns is in no figure. Counters are summed over the turns, and lengths
are, so that every rate and share is one of the turns alone.
Rule 2: a turn is `ROUND_TRIPS_MIN` round trips of its server long, or longer, so that its edges
cut few of them. The warm-up measures how long one takes.
Rule 3: the server is idle wherever its CPU time is accounted for (harness/host/cpu_accounting.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gevent

from harness.contract.cell_record import FailureFigures
from harness.contract.trial_spec import STRETCH_MAX, PlacedCell, TrialSpec
from harness.host.cpu_accounting import Charged, Moment
from harness.host.fair_wait import Wait
from harness.host.wait_budget import Reading, Spent
from harness.load import problems
from harness.load.locust.fleet import Fleet, FleetFault
from harness.load.merged_figures import Window, merge_turns
from harness.load.probe.counter_snapshots import Snapshots
from harness.load.probe.readings import Edge, Probe, TaskSample
from harness.load.watch import DEATH_S, Watch

ESTABLISHED_INTERVAL_S = 1.0
WINDOW_WAIT_S = 3.0
# A cell's order needs this long to reach every worker before its window may open.
WARMUP_MIN_S = 0.05
# The warm-up of one turn of several only brings the server's data back into the caches.
WARMUP_OF_TURN_S = 0.005
WARMUP_ROUND_TRIPS = 2
# The edges of a turn cut one round trip: of 30 they cut 3 %, and the gate refuses above 5 %.
ROUND_TRIPS_MIN = 30
# After a window the engine reports at once
AFTER_WINDOW_POLL_S = 0.001
# The longest reading of an edge that a turn leaves time for
EDGE_S_MAX = 0.05
# A window that never opens
NO_WINDOW_S = 86_400.0

Account = Callable[[], Charged]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: the window of each engine, and the server at its edges."""

    windows: list[dict[str, Any]]
    first: Edge
    last: Edge


@dataclass(frozen=True, slots=True)
class Seen:
    """A cell's turns as one: edges with nothing between them but the turns."""

    window: Window
    first: Edge
    last: Edge
    tasks_open: TaskSample
    tasks_close: TaskSample
    established_min: int
    accounts: list[tuple[Moment, Moment]]
    problem: FailureFigures | None


class Traffic:
    """Runs the traffic of cells on a fleet, and reads the server at the edges of each window."""

    def __init__(
        self,
        trial: TrialSpec,
        fleet: Fleet,
        probe: Probe,
        watch: Watch,
        snapshots: Snapshots,
        read: Callable[[], Reading] | None,
    ) -> None:
        """`read` reads CPU time for waits; None where nothing is known of the server."""
        self._trial = trial
        self._fleet = fleet
        self._probe = probe
        self._watch = watch
        self._snapshots = snapshots
        self._read = read
        # How the CPU time went in the last wait for replies that ended in vain
        self.waited: Spent | None = None
        self._round_trip_s = 0.0
        # How long the last reading in front of a window took
        self._edge_s = 0.0

    def obstacle(self, cell: PlacedCell) -> FailureFigures | None:
        """Why traffic cannot start, by what the engines said last. Raises ServerGone."""
        self._fleet.ask()
        found = problems.obstacle(cell, self._fleet.status())
        if found is not None:
            gevent.sleep(DEATH_S)
            self._watch.check()
        return found

    def warm_up(self, cell: PlacedCell) -> FailureFigures | None:
        """The cell's traffic before anything of it counts; return the failure when it does not end.

        Raises ServerGone or FleetFault.
        """
        self._round_trip_s = 0.0
        warmup_s = cell.warmup_s - warmup_of_turn_s(cell, self._round_trip_s)
        if warmup_s <= 0:
            return None
        now_ns, echoes = time.monotonic_ns(), self._fleet.status().echoes
        start_ns = now_ns + int(NO_WINDOW_S * 1e9)
        seed = self._trial.seed + cell.index
        order = self._fleet.start(cell, seed, start_ns, start_ns + 1, spin=self._trial.may_spin)
        self._watch.sleep_until(now_ns + int(warmup_s * 1e9))
        self._fleet.stop()
        problem = self._drain(order)
        elapsed_s = (time.monotonic_ns() - now_ns) / 1e9
        echoes = self._fleet.status().echoes - echoes
        self._round_trip_s = round_trip_s(cell, echoes, elapsed_s)
        if problem is None and self._fleet.status().established < cell.connections:
            # The cell goes on without those that it lost, unless the server died, or too few remain
            gevent.sleep(DEATH_S)
            self._watch.check()
            if self._fleet.status().established < cell.active:
                problem = problems.obstacle(cell, self._fleet.status())
        return problem

    def run(self, cell: PlacedCell, rest: Callable[[], None], account: Account | None) -> Seen:
        """All turns of a cell; `rest` between two of them.

        `account` has the harness read the server's accounts; None where nothing is known of it.

        Raises ServerGone or FleetFault.
        """
        turns: list[Turn] = []
        accounts: list[tuple[Moment, Moment]] = []
        problem = None
        echoes, tasks_open = self._fleet.status().echoes, self._probe.tasks()
        established = [self._probe.established()]
        self._opening_edge()  # how long it takes now: the last one was of fewer connections
        for number in range(cell.turns):
            if number and not problem:
                rest()
                problem = self.obstacle(cell)
            if problem:
                break
            before = self._moment(account)
            turn, order = self._turn(cell, established, is_last=number + 1 == cell.turns)
            turns.append(turn)
            problem = self._drain(order)
            after = self._moment(account)
            if before is not None and after is not None:
                accounts.append((before, after))
        self._snapshots.close()
        established.append(self._probe.established())
        if established[-1] < cell.connections - (cell.active if cell.closing else 0):
            gevent.sleep(DEATH_S)
            self._watch.check()
        window = merge_turns([turn.windows for turn in turns])
        first, last = joined_edges([(turn.first, turn.last) for turn in turns])
        echoes = self._fleet.status().echoes - echoes
        return Seen(
            window=window,
            first=first,
            last=last,
            tasks_open=tasks_open,
            tasks_close=paced_as(tasks_open, self._probe.tasks(), echoes, window.echoes_per_s),
            established_min=min(*established, window.established_min),
            accounts=accounts,
            problem=problem or problems.overslept(window.overslept, cell),
        )

    def _moment(self, account: Account | None) -> Moment | None:
        """Account for the server's CPU time, at a moment at which it has nothing to do."""
        if account is None:
            return None
        return self._probe.account(account, self._fleet.status().echoes)

    def _turn(self, cell: PlacedCell, established: list[int], *, is_last: bool) -> tuple[Turn, int]:
        """Warm up, measure one window and stop; the turn and the number of its order."""
        warmup_s = warmup_of_turn_s(cell, self._round_trip_s)
        start_ns = time.monotonic_ns() + int((warmup_s + self._edge_s) * 1e9)
        end_ns = start_ns + int(turn_s(cell, self._round_trip_s) * 1e9)
        seed = self._trial.seed + cell.index
        order = self._fleet.start(cell, seed, start_ns, end_ns, spin=self._trial.may_spin)
        lead_s = self._edge_s + min(warmup_s, calm_s(cell, self._round_trip_s))
        self._watch.sleep_until(start_ns - int(lead_s * 1e9))
        first = self._opening_edge()
        self._watch.sleep_until(start_ns)
        self._snapshots.open()
        self._watch_window(end_ns, established)
        if is_last:
            self._snapshots.close()
        last = self._probe.edge(opens=False)
        windows = self._collect(cell, order)
        self._fleet.stop()
        return Turn(windows, first, last), order

    def _opening_edge(self) -> Edge:
        """The edge in front of a window, read while the turn's traffic runs already.

        The engine waits for its CPU meanwhile. Part of the warm-up comes behind the reading, so
        that no message of the window has that wait in its latency.
        """
        before_ns = time.monotonic_ns()
        edge = self._probe.edge(opens=True)
        self._edge_s = min(EDGE_S_MAX, (time.monotonic_ns() - before_ns) / 1e9)
        return edge

    def _watch_window(self, end_ns: int, established: list[int]) -> None:
        """Sleep through the window, counting ESTABLISHED sockets once a second."""
        interval_ns = int(ESTABLISHED_INTERVAL_S * 1e9)
        next_ns = time.monotonic_ns() + interval_ns
        while next_ns + interval_ns // 2 < end_ns:
            self._watch.sleep_until(next_ns)
            established.append(self._probe.established())
            next_ns += interval_ns
        self._watch.sleep_until(end_ns)

    def _collect(self, cell: PlacedCell, order: int) -> list[dict[str, Any]]:
        self._watch.until(
            lambda: self._fleet.windows(order) is not None, WINDOW_WAIT_S, AFTER_WINDOW_POLL_S
        )
        windows = self._fleet.windows(order)
        if windows is None:
            raise FleetFault(f"not every engine told its window of cell {cell.index}")
        return windows

    def _drain(self, order: int) -> FailureFigures | None:
        """Wait for the replies that are still out; return the failure when some never come."""

        def drained() -> bool:
            self._fleet.ask()
            return self._fleet.stopped(order) and self._fleet.status().outstanding == 0

        wait = Wait(self._trial.timeouts.settle_s, self._read)
        done = self._watch.until_over(drained, wait, AFTER_WINDOW_POLL_S)
        self.waited = None if done else wait.spent
        if done:
            return None
        return problems.unanswered(self._fleet.status().outstanding, wait.waited_s)


def round_trip_s(cell: PlacedCell, echoes: int, elapsed_s: float) -> float:
    """How long one message of a closed loop is under way, by Little's law (Little 1961, L = λ·W).

    0 in an open loop, where it is not what the turn has to be long beside.
    """
    if not echoes or cell.rate_per_s is not None:
        return 0.0
    return cell.active * cell.depth * elapsed_s / echoes


def turn_s(cell: PlacedCell, round_trip_s: float) -> float:
    """How long one turn's window is: as planned, or longer for a server that needs it."""
    planned_s = cell.window_s / cell.turns
    if cell.turns == 1:
        return planned_s
    return max(planned_s, _bounded_s(cell, ROUND_TRIPS_MIN, round_trip_s))


def _bounded_s(cell: PlacedCell, round_trips: int, round_trip_s: float) -> float:
    """So many round trips of a turn that may have ROUND_TRIPS_MIN; those of a server that stood
    still in the warm-up are cut to what the longest turn has room for."""
    longest_s = STRETCH_MAX * cell.window_s / cell.turns / ROUND_TRIPS_MIN
    return round_trips * min(round_trip_s, longest_s)


def warmup_of_turn_s(cell: PlacedCell, round_trip_s: float) -> float:
    """How long a turn's traffic runs before its window opens.

    A window that comes whole follows on half of its cell's warm-up: a closed loop over 10,000
    connections needs several round trips of 0.1 s to get into its rhythm.
    """
    if cell.turns > 1:
        return calm_s(cell, round_trip_s)
    return max(WARMUP_MIN_S, cell.warmup_s / 2)


def calm_s(cell: PlacedCell, round_trip_s: float) -> float:
    """How long traffic runs until no message is under way that met the start, or a reading."""
    return max(WARMUP_OF_TURN_S, _bounded_s(cell, WARMUP_ROUND_TRIPS, round_trip_s))


# What an edge counts, of the fields that are always known.
SUMMED = (
    *("stamp_ns", "server_cpu_ns", "load_cpu_ns", "user_ticks", "system_ticks"),
    *("load_wait_ns", "realtime_offset_ns"),
)


def joined_edges(turns: Sequence[tuple[Edge, Edge]]) -> tuple[Edge, Edge]:
    """Two edges between which the counters grew by what they grew in all turns together.

    Threads and restarts, which are no counters of the turns, are those of the last edge.
    """
    first, last = turns[0][0], turns[-1][1]

    def grown(name: str) -> int:
        grew: int = sum(getattr(after, name) - getattr(before, name) for before, after in turns)
        start: int = getattr(first, name)
        return start + grew

    def grown_if_known(name: str) -> int | None:
        known = all(getattr(edge, name) is not None for turn in turns for edge in turn)
        return grown(name) if known else None

    tables = [(before.cpu_ticks, after.cpu_ticks) for before, after in turns]
    return first, replace(
        last,
        **{name: grown(name) for name in SUMMED},
        run_wait_ns=grown_if_known("run_wait_ns"),
        pressure_us=grown_if_known("pressure_us"),
        cpu_ticks={
            cpu: _grown_table([(a.get(cpu, {}), b.get(cpu, {})) for a, b in tables])
            for cpu in last.cpu_ticks
        },
        tcp=_grown_table([(before.tcp, after.tcp) for before, after in turns]),
    )


def paced_as(first: TaskSample, last: TaskSample, echoes: int, echoes_per_s: float) -> TaskSample:
    """The last sample as far from the first as the echoes in between take at the window's rate.

    The samples are taken around all traffic of a cell, warm-ups and waits included: to read 10,000
    tasks takes as long as a turn, and may be in none. What counts are the switches of an echo.
    """
    if not echoes or not echoes_per_s:
        return last
    return replace(last, stamp_ns=first.stamp_ns + round(echoes / echoes_per_s * 1e9))


def _grown_table(turns: Sequence[tuple[Mapping[str, int], Mapping[str, int]]]) -> dict[str, int]:
    """A table of counters at the last edge, had nothing happened between the turns."""
    start = turns[0][0]
    return {
        name: start[name] + sum(b.get(name, 0) - a.get(name, 0) for a, b in turns)
        if name in start
        else value
        for name, value in turns[-1][1].items()
    }
