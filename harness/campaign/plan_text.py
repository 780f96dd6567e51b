"""Lay out the plan of a campaign for `--dry-run`: a matrix of cells, and totals. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.campaign import launch
from harness.campaign.campaign_run import Request
from harness.contract.trial_spec import Cell
from harness.plan.trial_plan import Trial

CORNER = "blocks that have the cell"


def render(request: Request) -> str:
    """Return profile and host, the matrix, the waves, and the totals."""
    split, planned = request.split, request.blocks_planned
    names = [variant.name for variant in request.variants]
    lines = [
        f"profile {request.profile_name}: {request.profile.summary}",
        f"servers ({len(names)}): {', '.join(names)}",
        f"seed {request.seed}; server on CPU {', '.join(map(str, split.server))}, "
        f"load on CPU {', '.join(map(str, split.load))}",
    ]
    if waves := request.waves:
        lines.append(f"{waves.sentence}; bounded by {', '.join(waves.because)}")
        members = enumerate(waves.members, start=1)
        lines += [f"wave {number}: {', '.join(found)}" for number, found in members]
    trials = request.trials
    lines += ["", *matrix(trials), ""]
    cells = sum(len(trial.cells) for trial in trials)
    blocks = f"{planned} block{'s' * (planned > 1)}"
    if request.profile.blocks_max > planned:
        blocks += f", up to {request.profile.blocks_max} if the headline is not settled"
    lines += [
        f"total: {blocks}; {len(trials):,} trials, {cells:,} cells",
        f"time: about {launch.estimate_s(request) / 60:.1f} min without builds",
    ]
    return "\n".join(lines)


def matrix(trials: Iterable[Trial]) -> list[str]:
    """Return a row per kind of load and a column per number of connections.

    Each entry is the number of blocks in which every server has that cell. Block 0, which measures
    capacities, counts as one.
    """
    blocks: dict[tuple[str, int], set[int]] = {}
    for trial in trials:
        for cell in trial.cells:
            blocks.setdefault((_kind(cell), cell.connections), set()).add(trial.block)
    counts = Counter({key: len(found) for key, found in blocks.items()})
    kinds = list(dict.fromkeys(kind for kind, _ in counts))
    columns = sorted({connections for _, connections in counts})
    rows = [(CORNER, *(f"{connections:,}" for connections in columns))]
    for kind in kinds:
        rows.append((kind, *(str(counts[kind, one] or "–") for one in columns)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _kind(cell: Cell) -> str:
    """Return the load of a cell without its connections: `payload, 100 active, 4,096 bytes`."""
    parts = [cell.scenario]
    if cell.scenario not in ("ramp", "active", "calibration"):
        parts.append(f"{cell.active:,} active")
    if cell.scenario == "payload":
        parts.append(f"{cell.payload_bytes:,} bytes")
    if cell.scenario == "depth":
        parts.append(f"depth {cell.depth}")
    if cell.rate_share is not None:
        parts.append(f"{cell.rate_share * 100:g} % of capacity")
    elif cell.rate_per_s is not None:
        parts.append(f"{cell.rate_per_s:,.0f}/s")
    if cell.closing:
        parts.append(cell.closing)
    return ", ".join(parts)
