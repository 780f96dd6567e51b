"""Show the memory of a connection, as bars by kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.analysis import wording
from harness.analysis.results import MEMORY_KINDS, Analysis, Cell
from harness.report.charts.figure_data import Bar, Figure
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE, total_kib


def figures(analysis: Analysis, variants: Sequence[Variant]) -> Iterator[Figure]:
    """Yield the chart of each server at the largest `idle` N that it reached."""
    colours = {variant.name: variant.colour for variant in variants}
    largest: dict[str, Cell] = {}
    for cell in analysis.cells:
        if cell.key.scenario == "idle" and cell.memory:
            known = largest.get(cell.variant, cell)
            largest[cell.variant] = max(known, cell, key=lambda one: one.key.order)
    if not largest:
        return
    most = max(cell.key.connections for cell in largest.values())
    ordered = sorted(largest.values(), key=_lightest)
    bars = tuple(_bar(cell, most, colours.get(cell.variant, 0)) for cell in ordered)
    yield Figure(
        id="fig-memory",
        kind="memory",
        title="Memory per connection",
        statement=None,
        subtitle="Memory beyond that of the server without connections, with "
        f"{most:,} open unless a bar says otherwise.",
        reading="Anonymous and kernel memory, without page cache. On loopback, kernel memory "
        "counts the sockets at the server's end.",
        series=(),
        bars=bars,
        header=("server", "connections", *(f"{kind} KiB" for kind in MEMORY_KINDS), "all KiB"),
        rows=tuple(_memory_row(cell) for cell in ordered),
        x_title="KiB per connection",
        parts=tuple((kind, f"k-{kind}") for kind in MEMORY_KINDS),
    )


def _total(cell: Cell) -> float | None:
    return cell.memory.total if cell.memory else None


def _lightest(cell: Cell) -> tuple[bool, float, str]:
    """Sort by total, smallest first; cells with only a part observed come last."""
    total = _total(cell)
    return (total is None, total or 0.0, cell.variant)


def _bar(cell: Cell, most: int, colour: int) -> Bar:
    assert cell.memory is not None  # noqa: S101 (chosen for having it)
    total = "not all observed" if _total(cell) is None else f"{total_kib(cell.memory)} KiB"
    if cell.key.connections != most:
        total += f" (at {cell.key.connections:,})"
    parts = tuple((kind, max(0.0, value) / wording.KIB) for kind, value in cell.memory.observed)
    return Bar(cell.variant, colour, total, parts)


def _memory_row(cell: Cell) -> tuple[str, ...]:
    assert cell.memory is not None  # noqa: S101 (chosen for having it)
    observed = dict(cell.memory.observed)
    kinds = (
        wording.kib(observed[kind]).text if kind in observed else NONE for kind in MEMORY_KINDS
    )
    return (
        cell.variant,
        f"{cell.key.connections:,}",
        *kinds,
        total_kib(cell.memory),
    )
