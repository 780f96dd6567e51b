"""Once a second, what happens right now: for a person who watches, never for a result."""

from __future__ import annotations

import time
from collections.abc import Mapping

import gevent

from harness.contract.events import Events, ReaderGone
from harness.contract.load_events import ProgressTold
from harness.contract.trial_spec import PlacedCell
from harness.load.locust.fleet import Fleet

INTERVAL_S = 1.0


class Progress:
    """Tells a progress event about once a second until it is stopped."""

    def __init__(self, events: Events, fleet: Fleet, cells: int) -> None:
        self._events = events
        self._fleet = fleet
        self._cells = cells
        self._cell: PlacedCell | None = None
        self._told_s = time.monotonic()
        self._greenlet = gevent.spawn(self._tell)

    def show(self, cell: PlacedCell) -> None:
        """This cell is what happens from now on."""
        self._cell = cell

    def skip(self, duration_s: float) -> None:
        """Nothing could happen for so long, since others had their turns: rates are without it."""
        self._told_s += duration_s

    def stop(self) -> None:
        """Tell no more."""
        self._greenlet.kill()

    def _tell(self) -> None:
        while True:
            gevent.sleep(INTERVAL_S)
            # Overdue after a rest: what it would tell is of no time at all
            if self._cell is None or time.monotonic() - self._told_s < INTERVAL_S / 2:
                continue
            try:
                self._tell_once(self._cell)
            except ReaderGone:  # the conductor finds out with its next event, and ends the trial
                return

    def _tell_once(self, cell: PlacedCell) -> None:
        now_s = time.monotonic()
        elapsed_s, self._told_s = now_s - self._told_s, now_s
        live = self._fleet.take_live()
        told = ProgressTold(
            cell=cell.index,
            of=self._cells,
            scenario=cell.scenario,
            connections=cell.connections,
            established=self._fleet.status().established,
            echoes_per_s=live.total() / elapsed_s,
            latency_p99_us=percentile_us(live, 0.99),
        )
        self._events.tell(told)


def percentile_us(latencies_us: Mapping[int, int], quantile: float) -> int | None:
    """The value at `quantile` (0 to 1) of counted latencies; None when there are none."""
    rank = quantile * sum(latencies_us.values())
    seen = 0
    for value_us in sorted(latencies_us):
        seen += latencies_us[value_us]
        if seen >= rank:
            return value_us
    return None
