"""Choose another anchor where the planned one does not run here.

Only before anything is measured: later the waves of a campaign stay, and what the anchor lacks is
missing from the ratios of its block.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.campaign.progress import Progress
from harness.plan import waves
from harness.plan.waves import Amount
from harness.store.campaign_store import Campaign

if TYPE_CHECKING:
    from harness.campaign.campaign_run import Request


def changed(
    campaign: Campaign,
    request: Request,
    progress: Progress,
    able: Collection[str],
    room: Callable[[], Amount],
) -> Request | None:
    """The request with the next anchor by the rule, whose plan is in `campaign.json`.

    None where the campaign has no waves, where its anchor runs, where no server does, and where
    cells of a block are measured already (capacities are block 0, which has no waves).

    Args:
        able: the servers that were built and admitted.
        room: reads what the host has now for servers and loads: the next anchor may need more.
    """
    planned = request.waves
    is_measured = any(int(cell.get("block") or 0) for cell in campaign.cells())
    if planned is None or planned.anchor in able or is_measured:
        return None
    paired = waves.paired_anew(planned, request.servers, room(), able)
    if paired is None:
        return None
    found = replace(request, waves=paired)
    plan = [trial.planned() for trial in found.trials]
    campaign.write_head(campaign.head().changed(waves=paired.kept(), plan=plan))
    told = f"{planned.anchor} does not run here: the waves are paired through {paired.anchor}"
    is_same = paired == planned.with_anchor(paired.anchor)
    progress.say(told if is_same else f"{told}, and divided again: {paired.short}")
    return found
