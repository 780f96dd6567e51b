"""Trials → means, intervals and ranks. Pure: records in, frozen values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis import control, looks, unranked, voids, xrays
from harness.analysis.cells import cells
from harness.analysis.frame import frame
from harness.analysis.proven import proven
from harness.analysis.ranking import barred, contrasts, headline, rank
from harness.analysis.results import Analysis
from harness.contract.record import Record
from harness.plan.waves import Waves

__all__ = ["Analysis", "analyse"]


def analyse(
    campaign: Mapping[str, Any], records: Sequence[Record], outcomes: Sequence[Record]
) -> Analysis:
    """Compute all figures of a campaign from its raw records.

    Args:
        campaign: `campaign.json`.
        records: the lines of `trials.jsonl`.
        outcomes: the lines of `outcomes.jsonl`.
    """
    laid_out = proven(campaign, frame(campaign, records, outcomes))
    waves = Waves.of_campaign(campaign)
    figures = cells(laid_out, waves.anchor if waves else None)
    counted = xrays.with_calls(figures, campaign.get("xray") or ())
    found, again = control.apart(campaign, counted)
    chosen = headline(campaign, found)
    never = barred(campaign)
    ranked_void = chosen.is_ranked and any(
        cell.key == chosen.key and cell.variant not in never and voids.is_void(cell)
        for cell in found
    )
    superseded = int((~laid_out["is_used"].astype(bool)).sum())
    known = looks.of_campaign(campaign, outcomes)
    groups = rank(campaign, chosen, found, known)
    return Analysis(
        headline=chosen,
        groups=groups,
        cells=found,
        contrasts=contrasts(campaign, chosen, groups, found, known.last),
        superseded=superseded,
        ranked_void=ranked_void,
        unranked=unranked.why(campaign, chosen, groups, found, known),
        control=again,
        floor=control.floor(campaign, found, again, known.last),
        looks=known,
    )
