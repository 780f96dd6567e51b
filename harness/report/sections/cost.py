"""Show what an echo costs as connections are added: the headline chart, on linear axes.

A straight line on linear axes means a constant cost per connection. Its slope has an interval, so
the title names only what the blocks show (harness/analysis/slopes.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.analysis import claims, wording
from harness.analysis.findings import Finding, Name, Part
from harness.analysis.ranking import NONCONFORMING
from harness.analysis.results import Analysis, Cell
from harness.analysis.slopes import PER_CONNECTIONS, Slope, alike, ordered, slopes
from harness.analysis.wording import Quantity
from harness.report.charts.figure_data import Figure, Point, lines, question
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE

SCENARIOS = {"idle": "idle connections", "active": "connections"}
# A title names as many servers of each kind; the table has all.
NAMED_MAX = 2


def figures(analysis: Analysis, variants: Sequence[Variant]) -> tuple[Figure, ...]:
    """Return the charts of the cost of an echo, `idle` next to `active`."""
    colours = {variant.name: variant.colour for variant in variants}
    mechanisms = {variant.name: variant.architecture for variant in variants}
    return tuple(
        figure
        for scenario in SCENARIOS
        for figure in _figure(analysis, scenario, colours, mechanisms)
    )


def _figure(
    analysis: Analysis, scenario: str, colours: dict[str, int], mechanisms: Mapping[str, str]
) -> Iterator[Figure]:
    cells = alike(
        cell
        for cell in analysis.cells
        if cell.key.scenario == scenario and cell.cpu_us_per_echo is not None
    )
    if not cells:
        return
    barred = {row.variant for row in analysis.rows if row.note == NONCONFORMING}
    found = slopes((cell for cell in cells if cell.variant not in barred), analysis.looks.last)
    steps = sorted({cell.key.connections for cell in cells})
    yield Figure(
        id=f"fig-{scenario}-cpu",
        kind="cost",
        title="CPU time per echo over open connections",
        statement=statement(found, SCENARIOS[scenario])
        or claims.scaling(analysis, cells, scenario, mechanisms),
        subtitle=f"{question(cells, scenario)}. Mean of trials; the band is the 95 % interval. "
        "Both axes are linear.",
        reading=_reading(found),
        series=lines(analysis, cells, colours, _point),
        bars=(),
        header=(
            "server",
            *(f"{connections:,}" for connections in steps),
            *(f"µs per {PER_CONNECTIONS:,} more", "interval"),
        ),
        rows=tuple(_row(name, cells, steps, found.get(name)) for name in _names(cells)),
    )


def statement(found: Mapping[str, Slope], what: str) -> Finding | None:
    """Name what further connections cost; None if no server is shown to pay for them.

    Free is a server whose interval contains zero, or that changes by less than 5 %, if its interval
    lies below those of all that are said to pay. Others without a verdict are called not settled.

    Args:
        what: the connections, such as `idle connections`.
    """
    pay = [
        (name, one)
        for name, one in ordered(found)
        if one.outcome == "different" and one.interval.low > 0
    ]
    if not pay:
        return None
    least = min(one.interval.low for _, one in pay)
    free = {
        name: one
        for name, one in reversed(ordered(found))
        if (one.interval.contains(0) or one.outcome == "equivalent") and one.interval.high < least
    }
    parts: list[Part] = ["Each ", wording.count(PER_CONNECTIONS), f" {what} cost "]
    parts += _listed([_paying(*one) for one in pay], " less")
    parts.append(" of CPU per echo")
    if free:
        most = max(one.interval.high for one in free.values())
        parts += ["; ", *_listed([(Name(name),) for name in free])]
        is_zero = all(one.interval.contains(0) for one in free.values())
        bound = _micros(most)
        parts += [" nothing measurable (≤ ", bound, ")"] if is_zero else [" at most ", bound]
    known = {name for name, _ in pay} | free.keys()
    open_ones = (name for name, one in found.items() if one.outcome == "inconclusive")
    if left := [name for name in open_ones if name not in known]:
        parts += ["; not settled for ", *_listed([(Name(name),) for name in left])]
    return Finding("shape", tuple(parts))


def _paying(name: str, one: Slope) -> tuple[Part, ...]:
    ends = (one.interval.low, one.interval.high)
    # An interval that is a tenth of its figure wide, or wider, gives no third digit
    digits = 2 if ends[1] - ends[0] >= one.us / 10 else 3
    low, high = (Quantity(end, wording.significant(end, digits)) for end in ends)
    return (Name(name), " ", _micros(one.us, digits), " (", low, "–", high, ")")


def _micros(us: float, digits: int = 2) -> Quantity:
    return Quantity(us, f"{wording.significant(us, digits)} µs")


def _listed(told: Sequence[tuple[Part, ...]], rest: str = "") -> list[Part]:
    """`a, b and 2 others`, with `rest` behind it."""
    shown = list(told[:NAMED_MAX])
    if left := len(told) - len(shown):
        shown.append((wording.count(left), f" other{'s' if left > 1 else ''}{rest}"))
    parts: list[Part] = []
    for place, one in enumerate(shown):
        if place:
            parts.append(" and " if place == len(shown) - 1 else ", ")
        parts += one
    return parts


def _reading(found: Mapping[str, Slope]) -> str:
    words = (
        "Lower is better. A level line means that more open connections cost nothing; a straight "
        "one that rises means that each costs the same."
    )
    if not found:
        return words
    one = next(iter(found.values()))
    return (
        f"{words} The table gives the slope: least squares over N in each block, then the mean of "
        f"the blocks with its t interval at {wording.confidence(one.confidence)}, because all "
        f"{len(found)} servers share the error."
    )


def _point(cell: Cell) -> Point | None:
    found = cell.cpu_us_per_echo
    if found is None:
        return None
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    value = found.mean
    text = wording.micros(value).text
    if found.half_width is not None:
        text += f" {wording.half_width(found.half_width)}"
    return Point(cell.key.connections, value, low, high, text=text)


def _row(
    name: str, cells: Sequence[Cell], steps: Sequence[int], found: Slope | None
) -> tuple[str, ...]:
    known = {
        cell.key.connections: wording.micros(cell.cpu_us_per_echo.mean).text
        for cell in cells
        if cell.variant == name and cell.cpu_us_per_echo
    }
    costs = (known.get(step, NONE) for step in steps)
    if found is None:
        return (name, *costs, NONE, NONE)
    low, high = (wording.plain(one).text.replace("-", "−") for one in _bounds(found))
    return (name, *costs, wording.plain(found.us).text.replace("-", "−"), f"{low} to {high}")


def _bounds(found: Slope) -> tuple[float, float]:
    return found.interval.low, found.interval.high


def _names(cells: Sequence[Cell]) -> list[str]:
    return sorted({cell.variant for cell in cells})
