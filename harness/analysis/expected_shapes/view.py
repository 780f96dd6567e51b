"""Define the input and the output of an expected shape."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.analysis.intervals import Interval
from harness.analysis.results import Analysis, Cell
from harness.analysis.series import Series
from harness.contract.stored_campaign import StoredBacklog

# "not settled": the 95 % interval of a ratio contains its bound, so more blocks may decide.
Judged = Literal["pass", "fail", "not settled"]
Verdict = Literal["pass", "fail", "not settled", "not applicable"]


@dataclass(frozen=True, slots=True)
class Observed:
    """One value: its server or cell, its text, and whether it is within the bound.

    A value without an interval, such as a count, passes or fails.
    """

    who: str
    value: float
    text: str
    verdict: Judged


@dataclass(frozen=True, slots=True)
class Bounds:
    """The range in which a ratio is expected, ends included."""

    low: float = 0.0
    high: float = math.inf

    def judge(self, interval: Interval) -> Judged:
        """Return whether the whole interval of a ratio passes or fails."""
        if interval.contains(self.low) or interval.contains(self.high):
            return "not settled"
        return "pass" if self.low < interval.low and interval.high < self.high else "fail"


@dataclass(frozen=True, slots=True)
class Row:
    """One shape, judged.

    Attributes:
        observed: every value that the campaign has; empty if it has none.
        reason: why it is not applicable; empty otherwise.
    """

    id: str
    title: str
    observed: tuple[Observed, ...]
    bound: str
    source: str
    verdict: Verdict
    reason: str

    @property
    def observed_text(self) -> str:
        """All values, as text."""
        return "; ".join(f"{one.who} {one.text}" for one in self.observed) or "—"


@dataclass(frozen=True, slots=True)
class View:
    """The data of a campaign that shapes use.

    Attributes:
        architectures: {server: its architecture} of the judged servers.
        second: {second name: server} of one that ran twice in each block.
        backlog: figures of a listener that does not accept, from the self-test.
    """

    architectures: Mapping[str, str | None]
    second: Mapping[str, str]
    analysis: Analysis
    backlog: StoredBacklog | None

    def cells(self, *architectures: str) -> Iterator[Cell]:
        """Return the cells of servers of those architectures, in the order of the analysis."""
        return (
            cell
            for cell in self.analysis.cells
            if self.architectures.get(cell.variant) in architectures
        )

    def rates(self, cell: Cell) -> Series:
        """Return echoes per second of server CPU of a cell.

        A server that ran twice in a block has two figures there. Their mean is more exact than
        either.
        """
        runs = [cell.efficiency] if cell.efficiency else []
        runs += [
            one.efficiency
            for one in self.analysis.control
            if (self.second.get(one.variant), one.key) == (cell.variant, cell.key)
            and one.efficiency
        ]
        values = [run.series.values for run in runs]
        means = {
            place: statistics.geometric_mean(one[place] for one in values if place in one)
            for place in sorted({place for one in values for place in one})
        }
        return Series(means, runs[0].series.anchor if runs else {})


Judge = Callable[[View], Iterable[Observed]]


@dataclass(frozen=True, slots=True)
class Shape:
    """One published result.

    Attributes:
        needs: what a campaign must have measured for it, given as the reason if it did not.
    """

    id: str
    title: str
    bound: str
    source: str
    needs: str
    judge: Judge
