"""Choose another anchor where the planned one does not run here.

Only before anything is measured: later the waves of a campaign stay, and what the anchor lacks is
missing from the ratios of its block.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from harness import waves
from harness.progress import Progress
from harness.store import Campaign

if TYPE_CHECKING:
    from harness.campaign import Request


def changed(
    campaign: Campaign, request: Request, progress: Progress, able: Collection[str]
) -> Request | None:
    """The request with the next anchor by the rule, whose plan is in `campaign.json`.

    None where the campaign has no waves, where its anchor runs, where no server does, and where
    cells of a block are measured already (capacities are block 0, which has no waves).

    Args:
        able: the servers that were built and admitted.
    """
    planned = request.waves
    is_measured = any(int(cell.get("block") or 0) for cell in campaign.cells())
    if planned is None or planned.anchor in able or is_measured:
        return None
    anchor = waves.anchor_of(request.servers, able)
    if anchor is None:
        return None
    found = replace(request, waves=planned.with_anchor(anchor))
    plan = [trial.as_json() for trial in found.trials]
    told = found.waves.as_json() if found.waves else None
    campaign.write_head({**campaign.head(), "waves": told, "plan": plan})
    progress.say(f"{planned.anchor} does not run here: the waves are paired through {anchor}")
    return found
