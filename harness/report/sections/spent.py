"""Show what an echo is made of at the headline: CPU time by mode, and system calls by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.analysis import calls_by_name, wording
from harness.analysis.results import Analysis, Cell
from harness.report.charts.figure_data import Bar, Figure
from harness.report.sections.background import Variant
from harness.report.sections.tables import NONE

MODES = (("user", "k-user"), ("system", "k-system"), ("softirq", "k-softirq"))
# As many calls have a colour of their own; the rest is one part.
CALLS_NAMED_MAX = 7
OTHERS = "others"


def figures(
    campaign: Mapping[str, Any], analysis: Analysis, variants: Sequence[Variant]
) -> tuple[Figure, ...]:
    """Return the charts of the headline's cells for which there is data."""
    colours = {variant.name: variant.colour for variant in variants}
    cells = [
        cell
        for cell in analysis.cells
        if cell.key == analysis.headline.key and cell.cpu_us_per_echo is not None
    ]
    xrays = campaign.get("xray") or ()
    return (*_modes(cells, colours), *_calls(cells, colours, xrays))


def modes_us(cell: Cell) -> Mapping[str, float]:
    """Return {mode: µs of CPU per echo}; empty where the shares are not known.

    The kernel counts the modes in ticks of all tasks on the server's CPUs. Their shares divide the
    CPU time that it charged to the server.
    """
    shares = {mode: getattr(cell, f"{mode}_share") for mode, _ in MODES}
    if cell.cpu_us_per_echo is None or None in shares.values():
        return {}
    return {mode: share * cell.cpu_us_per_echo.mean for mode, share in shares.items()}


def _modes(cells: Sequence[Cell], colours: Mapping[str, int]) -> Iterator[Figure]:
    known = [(cell, modes) for cell in cells if (modes := modes_us(cell))]
    known.sort(key=lambda one: (sum(one[1].values()), one[0].variant))
    if not known:
        return
    bars = tuple(
        Bar(
            cell.variant,
            colours.get(cell.variant, 0),
            wording.micros(sum(modes.values())).text,
            tuple(modes.items()),
        )
        for cell, modes in known
    )
    yield Figure(
        id="fig-modes",
        kind="why",
        title="Where the CPU time of an echo goes",
        statement=None,
        subtitle=f"{_where(known[0][0])}. Mean of trials.",
        reading="“User” is the server's own code. “System” is the kernel on its behalf: system "
        "calls, and the scan of descriptors in select and poll. “Softirq” is the network stack "
        "outside of a call. On loopback the sender's CPU does most of the receiver's work, so the "
        "load carries a part of it. The kernel counts modes in ticks of 10 ms; their shares divide "
        "the exact CPU time.",
        series=(),
        bars=bars,
        header=("server", *(f"{mode} µs" for mode, _ in MODES), "all µs"),
        rows=tuple(
            (
                cell.variant,
                *(wording.plain(modes[mode]).text for mode, _ in MODES),
                wording.plain(sum(modes.values())).text,
            )
            for cell, modes in known
        ),
        x_title="µs of server CPU per echo",
        parts=MODES,
    )


def _calls(
    cells: Sequence[Cell], colours: Mapping[str, int], xrays: Sequence[Mapping[str, Any]]
) -> Iterator[Figure]:
    known = [(cell, calls) for cell in cells if (calls := calls_by_name.of_cell(cell, xrays))]
    known.sort(key=lambda one: (sum(one[1].values()), one[0].variant))
    if not known:
        return
    totals: Counter[str] = Counter()
    for _, calls in known:
        totals.update(calls)
    names = sorted(totals, key=lambda name: (-totals[name], name))
    shown = names[:CALLS_NAMED_MAX]
    parts = [(name, f"p{place}") for place, name in enumerate(shown)]
    if len(names) > len(shown):
        parts.append((OTHERS, f"p{CALLS_NAMED_MAX}"))
    bars = tuple(
        Bar(
            cell.variant,
            colours.get(cell.variant, 0),
            wording.plain(sum(calls.values())).text,
            _stacked(calls, shown),
        )
        for cell, calls in known
    )
    tools = " and ".join(sorted({cell.syscalls_tool for cell, _ in known if cell.syscalls_tool}))
    yield Figure(
        id="fig-calls",
        kind="why",
        title="System calls per echo",
        statement=None,
        subtitle=f"{_where(known[0][0])}.",
        reading=f"{tools} counted receive, send and all other calls that move data in an x-ray, a "
        "separate trial that is never timed. The server counted the waits in this cell. A server "
        "that waits without counting is not drawn. Locks (futex) are left out.",
        series=(),
        bars=bars,
        header=("server", *names, "all"),
        rows=tuple(
            (
                cell.variant,
                *(wording.plain(calls[name]).text if name in calls else NONE for name in names),
                wording.plain(sum(calls.values())).text,
            )
            for cell, calls in known
        ),
        x_title="system calls per echo",
        parts=tuple(parts),
    )


def _stacked(calls: Mapping[str, float], shown: Sequence[str]) -> tuple[tuple[str, float], ...]:
    rest = sum(count for name, count in calls.items() if name not in shown)
    own = [(name, calls[name]) for name in shown if name in calls]
    return (*own, (OTHERS, rest)) if rest else tuple(own)


def _where(cell: Cell) -> str:
    key = cell.key
    return f"Scenario {key.scenario}: {key.connections:,} connections, {key.active:,} active"
