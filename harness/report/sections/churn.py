"""Show the cost of new connections: cycles of connect, one echo and close."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.analysis import claims, wording
from harness.analysis.results import Analysis, Cell
from harness.report.charts.figure_data import Figure, Point, Series, estimated, rate_point
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE, half_width, rate_of

CLOSINGS = ("fin", "rst")


def figures(analysis: Analysis, variants: Sequence[Variant]) -> Iterator[Figure]:
    """Yield the charts of cycles and of connect(), for the smallest messages at the largest N."""
    colours = {variant.name: variant.colour for variant in variants}
    cells = [cell for cell in analysis.cells if cell.key.closing and cell.efficiency]
    if not cells:
        return
    most = max(cell.key.connections for cell in cells)
    drawn = _of_smallest([cell for cell in cells if cell.key.connections == most])
    yield _cycles(analysis, cells, drawn, colours)
    if any(cell.connect_p99_us for cell in drawn):
        yield _connect(analysis, cells, drawn, colours)


def _cycles(
    analysis: Analysis, cells: Sequence[Cell], drawn: Sequence[Cell], colours: dict[str, int]
) -> Figure:
    values = {cell.variant: cell.efficiency for cell in _first(drawn) if cell.efficiency}
    return Figure(
        id="fig-churn-efficiency",
        kind="dots",
        title="Cycles per server CPU",
        statement=claims.extremes(
            f"{_by(drawn)} {{}} serves {{}} cycles per second of server CPU, {{}} {{}}",
            values,
            analysis.looks.last,
            wording.rate,
        ),
        subtitle=f"{_question(drawn)} Mean of trials; the band is the 95 % interval.",
        reading="Further right is better. A cycle costs the server an accept, an echo and a close. "
        "FIN: the client closes in order. RST: it resets, and the server gets an error. The axis "
        "starts at zero, so lengths are proportional to the values.",
        series=_series(drawn, colours, rate_point, highest=True),
        bars=(),
        header=(
            "server",
            "connections",
            "bytes per message",
            "closing",
            "cycles per CPU second",
            "interval",
            "cycles/s",
        ),
        rows=tuple(
            (
                *_who(cell),
                wording.rate(cell.efficiency.mean).text,
                half_width(cell.efficiency) or NONE,
                rate_of(cell),
            )
            for cell in cells
            if cell.efficiency
        ),
        x_title="how the client closes",
        y_title="cycles per second of server CPU",
        levels=_levels(drawn),
    )


def _connect(
    analysis: Analysis, cells: Sequence[Cell], drawn: Sequence[Cell], colours: dict[str, int]
) -> Figure:
    timed = [cell for cell in drawn if cell.connect_p99_us]
    values = {cell.variant: cell.connect_p99_us for cell in _first(timed) if cell.connect_p99_us}
    return Figure(
        id="fig-churn-connect",
        kind="dots",
        title="p99 of connect() under churn",
        statement=claims.extremes(
            f"{_by(timed)} the p99 of connect() to {{}} is {{}}, to {{}} {{}}",
            values,
            analysis.looks.last,
            wording.latency,
        ),
        subtitle=f"{_question(timed)} Mean of trials; the band is the 95 % interval.",
        reading="Further left is better; the axis is logarithmic. connect() ends when the kernel "
        "puts the connection into the accept queue, before the server accepts it. The cycle also "
        "includes the echo and the close; the table has its p99.",
        series=_series(timed, colours, _connect_point, highest=False),
        bars=(),
        header=(
            *("server", "connections", "bytes per message", "closing"),
            *("connect p50", "connect p99", "interval", "cycle p50", "cycle p99"),
        ),
        rows=tuple(_connect_row(cell) for cell in cells if cell.connect_p99_us),
        x_title="how the client closes",
        y_title="p99 of connect(), ms",
        is_log=True,
        levels=_levels(timed),
    )


def _connect_point(cell: Cell, x: float) -> Point | None:
    found = cell.connect_p99_us
    if found is None:
        return None
    value = wording.latency(found.mean).text
    return estimated(found, x, value, f"p99 {value} {half_width(found)}".strip(), scale=1e3)


def _connect_row(cell: Cell) -> tuple[str, ...]:
    p50_us, p99_us, cycle = cell.connect_p50_us, cell.connect_p99_us, cell.latency_us
    return (
        *_who(cell),
        wording.latency(p50_us).text if p50_us else NONE,
        wording.latency(p99_us.mean).text if p99_us else NONE,
        half_width(p99_us) or NONE,
        wording.latency(cycle.p50).text if cycle else NONE,
        wording.latency(cycle.p99).text if cycle else NONE,
    )


def _series(
    cells: Sequence[Cell],
    colours: dict[str, int],
    point: Callable[[Cell, float], Point | None],
    *,
    highest: bool,
) -> tuple[Series, ...]:
    """Return a row per server in the order of its first closing, the best on top."""
    closings = _closings(cells)
    points: dict[str, list[Point]] = {}
    for cell in sorted(cells, key=lambda cell: closings.index(cell.key.closing or "")):
        if measured := point(cell, closings.index(cell.key.closing or "")):
            points.setdefault(cell.variant, []).append(measured)
    rows = [Series(name, colours.get(name, 0), name, tuple(own)) for name, own in points.items()]
    sign = -1 if highest else 1
    return tuple(sorted(rows, key=lambda row: (sign * row.points[0].y, row.variant)))


def _of_smallest(cells: Sequence[Cell]) -> list[Cell]:
    """Return cells of the smallest messages: a row has one dot per closing, the table has all."""
    smallest = min(cell.key.payload_bytes for cell in cells)
    return [cell for cell in cells if cell.key.payload_bytes == smallest]


def _closings(cells: Sequence[Cell]) -> list[str]:
    known = {cell.key.closing for cell in cells}
    return [closing for closing in CLOSINGS if closing in known]


def _levels(cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(closing.upper() for closing in _closings(cells))


def _first(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells of the first closing: the sentence is about these."""
    return [cell for cell in cells if cell.key.closing == _closings(cells)[0]]


def _by(cells: Sequence[Cell]) -> str:
    return f"With connections closed by {_levels(cells)[0]}"


def _question(cells: Sequence[Cell]) -> str:
    """Describe the scenario in words; all cells have messages of one size."""
    size = cells[0].key.payload_bytes
    active = max(cell.key.active for cell in cells)
    others = max(cell.key.connections for cell in cells) - active
    beside = f", while {others:,} other connections stay open" if others else ""
    return (
        f"Scenario churn: {active:,} clients repeatedly connect, wait for one echo of {size:,} B "
        f"and close{beside}."
    )


def _who(cell: Cell) -> tuple[str, str, str, str]:
    key = cell.key
    return (
        cell.variant,
        f"{key.connections:,}",
        f"{key.payload_bytes:,}",
        (key.closing or "").upper(),
    )
