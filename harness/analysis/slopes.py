"""What each further connection costs: the slope of the CPU time per echo over N, by server. Pure.

Rule 1: a block gives one slope, by least squares over the N at which it has a usable cell. It
counts if it has the smallest and the largest N of its server. The trial is the unit of repetition,
so n is the number of blocks.
Rule 2: the interval is Student's t interval of the mean of these slopes. This is the analysis by
summary measures of repeated measurements (Matthews, Altman, Campbell & Royston 1990, BMJ 300, 230):
each block's points are reduced to one number, and only these numbers are compared.
Rule 3: all servers of a chart share the error of the look (harness/analysis/looks.py, Bonferroni).
Rule 4: the outcome is that of the growth along the line from the smallest N to the largest, over
the block's cost at the smallest, with the bound of 5 % of harness/analysis/intervals.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.intervals import TRIALS_MIN, Interval, Outcome, outcome_of
from harness.analysis.looks import Look
from harness.analysis.results import Cell
from harness.gates import student_t

# The unit of a slope: µs of CPU per echo for so many more connections.
PER_CONNECTIONS = 1_000
RATIO_MIN = 1e-9
# {N: {block: µs of CPU per echo}}
Costs = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Slope:
    """What `PER_CONNECTIONS` more connections add to the CPU time of an echo.

    Attributes:
        us: mean over the blocks, in µs of server CPU per echo.
        interval: of it, at `confidence`.
        outcome: "different" where the cost grows (or falls) by 5 % or more over the range,
            "equivalent" where it changes by less, "inconclusive" where neither is shown.
        smallest, largest: the range of N.
        blocks: how many slopes.
    """

    us: float
    interval: Interval
    confidence: float
    outcome: Outcome
    smallest: int
    largest: int
    blocks: int


def slope_of_block(costs: Mapping[int, float]) -> float:
    """Return the least-squares slope of `{N: µs}`, in µs per `PER_CONNECTIONS` connections.

    Raises:
        statistics.StatisticsError: fewer than two N.
    """
    slope = statistics.linear_regression(list(costs), list(costs.values())).slope
    return slope * PER_CONNECTIONS


def slope(costs: Costs, confidence: float) -> Slope | None:
    """Return the slope of one server; None with fewer than two N or three blocks.

    Args:
        costs: {N: {block: µs of server CPU per echo}}.
        confidence: 0.95 for a 95 % interval.
    """
    known = {n: blocks for n, blocks in sorted(costs.items()) if blocks}
    if len(known) < 2:
        return None
    smallest, largest = min(known), max(known)
    both = sorted(known[smallest].keys() & known[largest].keys())
    if len(both) < TRIALS_MIN:
        return None
    each = [
        slope_of_block({n: blocks[block] for n, blocks in known.items() if block in blocks})
        for block in both
    ]
    middle, interval = _mean(each, confidence)
    span = (largest - smallest) / PER_CONNECTIONS
    growth, bounds = _mean(
        [us * span / known[smallest][block] for us, block in zip(each, both, strict=True)],
        confidence,
    )
    ratios = Interval(*(_ratio(one) for one in (bounds.low, bounds.high)))
    outcome = outcome_of(_ratio(growth), ratios)
    return Slope(middle, interval, confidence, outcome, smallest, largest, len(both))


def slopes(cells: Iterable[Cell], look: Look | None) -> dict[str, Slope]:
    """Return the slope of each server that has one, by name; none before the first look.

    Args:
        cells: of one scenario, which differ in N alone.
    """
    if look is None:
        return {}
    found = _costs(cells, look)
    confidence = look.confidence_of(len(found))
    every = {name: slope(costs, confidence) for name, costs in sorted(found.items())}
    return {name: one for name, one in every.items() if one}


def alike(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells of the traffic that has the most N, so that one line has one traffic.

    Traffic is active connections, payload and depth. Of several with as many N, the one with the
    most active connections has the line. A cell whose connections are all active is the first of
    the lines with as many active connections or more.
    """
    every = list(cells)
    steps: dict[tuple[int, int, int], set[int]] = {}
    for cell in every:
        # Where all are active, their number is N, and no traffic of its own
        active = 0 if _is_full(cell) else cell.key.active
        traffic = (active, cell.key.payload_bytes, cell.key.depth)
        steps.setdefault(traffic, set()).add(cell.key.connections)
    if not steps:
        return []
    partial = [traffic for traffic in steps if traffic[0]]
    active, *message = max(partial or steps, key=lambda one: (len(steps[one]), one))

    def has(cell: Cell) -> bool:
        bound = active or math.inf
        fits = cell.key.active <= bound if _is_full(cell) else cell.key.active == active
        return fits and [cell.key.payload_bytes, cell.key.depth] == message

    return [cell for cell in every if has(cell)]


def _is_full(cell: Cell) -> bool:
    return cell.key.active == cell.key.connections


def ordered(found: Mapping[str, Slope]) -> Sequence[tuple[str, Slope]]:
    """Return the slopes, the steepest first."""
    return sorted(found.items(), key=lambda one: (-one[1].us, one[0]))


def _costs(cells: Iterable[Cell], look: Look) -> dict[str, dict[int, dict[int, float]]]:
    """{server: {N: {block: µs}}} of the blocks of a look."""
    found: dict[str, dict[int, dict[int, float]]] = {}
    for cell in cells:
        if cell.cpu_us_per_echo:
            values = look.until(cell.cpu_us_per_echo.series).by_block
            found.setdefault(cell.variant, {})[cell.key.connections] = values
    return found


def _mean(values: Sequence[float], confidence: float) -> tuple[float, Interval]:
    """Return the mean and its t interval."""
    middle = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = error * student_t.critical(confidence, len(values) - 1)
    return middle, Interval(middle - half, middle + half)


def _ratio(growth: float) -> float:
    """The cost at the largest N over that at the smallest, on the line.

    A line that falls steeply enough meets zero; the cost of an echo does not.
    """
    return max(1 + growth, RATIO_MIN)
