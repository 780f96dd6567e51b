"""Decide what a person reads while a campaign runs: lines of trials, and a provisional ranking.

Pure: each line is a function of the events so far. The displays print the lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from harness.contract.statuses import CellStatus, TrialEnd
from harness.gates import USABLE
from harness.gates.student_t import critical
from harness.plan.trial_plan import CALIBRATION_BLOCK

RANKING_SCENARIO = "idle"
CONFIDENCE = 0.95
# As in the report: fewer trials give no interval.
TRIALS_MIN = 3
ROWS_MAX = 12
MARKS = {TrialEnd.DONE: "✓", TrialEnd.FAILED: "✕"}


@dataclass(frozen=True, slots=True)
class CellSeen:
    """A cell that was measured.

    Attributes:
        number: its place in the trial.
        echoes_per_cpu_s: echoes per second of server CPU; None without a figure.
        reasons: a sentence for each gate that it failed.
    """

    server: str
    block: int
    number: int
    scenario: str
    connections: int
    status: str
    echoes_per_cpu_s: float | None
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CellSeen:
        """Read the event `cell`."""
        return cls(
            server=facts["variant"],
            block=facts["block"],
            number=facts["cell"],
            scenario=facts["scenario"],
            connections=facts["connections"],
            status=facts["status"],
            echoes_per_cpu_s=facts["echoes_per_cpu_s"],
            reasons=tuple(facts["reasons"]),
        )


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """How an attempt at a trial ended."""

    server: str
    block: int
    outcome: str
    code: str
    text: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> TrialEnded:
        """Read the event `outcome`."""
        names = ("block", "outcome", "code", "text")
        return cls(server=facts["variant"], **{name: facts[name] for name in names})


@dataclass(frozen=True, slots=True)
class Figure:
    """The rate of a server over its blocks so far.

    Attributes:
        rate: geometric mean, echoes per second of server CPU.
        half: half of the 95 % t interval on the log scale, as a share; None below three blocks.
    """

    rate: float
    half: float | None

    def __str__(self) -> str:
        """`298 k ± 4 %`."""
        # The package imports pandas, which takes half a second: only once a trial has ended.
        from harness.analysis import wording

        wide = "" if self.half is None else f" ± {wording.share(self.half).text}"
        return f"{wording.rate(self.rate).text}{wide}"


@dataclass(slots=True)
class Standings:
    """What the trials of this run have shown so far."""

    blocks: int = 0
    _cells: dict[tuple[str, int], dict[int, CellSeen]] = field(default_factory=dict)
    _ended: set[tuple[str, int]] = field(default_factory=set)
    _refused: set[tuple[str, str]] = field(default_factory=set)

    def see(self, cell: CellSeen) -> None:
        """Take a cell, in place of what an earlier attempt measured."""
        self._cells.setdefault((cell.server, cell.block), {})[cell.number] = cell

    def trial(self, end: TrialEnded) -> str:
        """Return the line of a trial that ended: `epoll-lt 3/5 ✓ 298 k ± 4 %`.

        All trials of a server that does not build or conform end before the first block: they
        have one line, and the others are empty.
        """
        if not self.blocks:
            return self._without_trial(end)
        place = "capacity" if end.block == CALIBRATION_BLOCK else f"{end.block}/{self.blocks}"
        is_again = (end.server, end.block) in self._ended
        self._ended.add((end.server, end.block))
        again = " (again)" if is_again else ""
        heading = f"{end.server} {place}{again} {MARKS.get(TrialEnd(end.outcome), '')}"
        return f"{heading} {'; '.join(self._told(end))}".rstrip()

    def _without_trial(self, end: TrialEnded) -> str:
        is_known = (end.server, end.text) in self._refused
        self._refused.add((end.server, end.text))
        return "" if is_known else f"{end.server} {MARKS[TrialEnd.FAILED]} {end.code}: {end.text}"

    def _told(self, end: TrialEnded) -> list[str]:
        """Return the figure, the cells without one, and what the outcome says."""
        outcome = [": ".join(filter(None, (end.code, end.text)))] if end.text else []
        if end.outcome == TrialEnd.FAILED:
            return outcome
        seen = self._cells.get((end.server, end.block), {}).values()
        figure = self.figure(end.server)
        parts = [str(figure)] if figure and end.block != CALIBRATION_BLOCK else []
        for status, word in ((CellStatus.CAPPED, "capped"), (CellStatus.VOID, "rejected")):
            found = [cell for cell in seen if cell.status == status]
            if found:
                reason = next((f": {cell.reasons[0]}" for cell in found if cell.reasons), "")
                parts.append(f"{len(found)} of {len(seen)} cells {word}{reason}")
        if noisy := sum(cell.status == CellStatus.NOISY for cell in seen):
            parts.append(f"{noisy} noisy")
        return [*parts, *outcome]

    @property
    def connections(self) -> int:
        """The most open connections of a cell that ranks; 0 before the first such cell."""
        return max(
            (
                cell.connections
                for cells in self._cells.values()
                for cell in cells.values()
                if cell.scenario == RANKING_SCENARIO
            ),
            default=0,
        )

    def figure(self, server: str) -> Figure | None:
        """Return the rate of a server at the most connections; None without a usable cell."""
        most = self.connections
        logs = [
            math.log(cell.echoes_per_cpu_s)
            for (name, block), cells in self._cells.items()
            for cell in cells.values()
            if (name, cell.scenario, cell.connections) == (server, RANKING_SCENARIO, most)
            and block != CALIBRATION_BLOCK
            and cell.status in USABLE
            and cell.echoes_per_cpu_s
        ]
        if not logs:
            return None
        half = None
        if len(logs) >= TRIALS_MIN:
            wide = critical(CONFIDENCE, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
            half = math.expm1(wide)
        return Figure(math.exp(fmean(logs)), half)

    def ranking(self, rows_max: int = ROWS_MAX) -> list[str]:
        """Return the provisional ranking, the best first; nothing before the first figure."""
        names = dict.fromkeys(server for server, _ in self._cells)
        found = {name: figure for name in names if (figure := self.figure(name))}
        if not found:
            return []
        order = sorted(found, key=lambda name: -found[name].rate)
        best = found[order[0]].rate
        width = max(map(len, order))
        lines = [
            "Provisional, not a ranking of the report: echoes per second of server CPU, "
            f"{self.connections:,} connections"
        ]
        for name in order[:rows_max]:
            figure = found[name]
            slower = "" if name == order[0] else f"  {best / figure.rate:.2f}× slower"
            lines.append(f"  {name:{width}}  {figure!s:14}{slower}".rstrip())
        if rest := len(order) - rows_max:
            lines += [f"  and {rest} more"] if rest > 0 else []
        if missing := [name for name in names if name not in found]:
            lines.append(f"  without a figure: {', '.join(missing)}")
        return lines


def block(facts: Mapping[str, Any]) -> str:
    """Return the line at the start of a block or wave, or of cells that are measured again."""
    number = facts["block"]
    place = "capacities" if number == CALIBRATION_BLOCK else f"block {number}/{facts['blocks']}"
    wave = f", wave {facts['wave']}" if facts.get("wave") else ""
    again = (
        f", measured again: {facts['again']} of {facts['variant']}" if facts.get("again") else ""
    )
    others = f"; beside it: {facts['others']}" if facts.get("others") else ""
    return f"{place}{wave}{again}, {facts['left']} left{others}"
