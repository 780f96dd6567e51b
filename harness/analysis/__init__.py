"""Compute means, intervals and ranks from the records of a campaign. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import control, looks, unranked, voids, xrays
from harness.analysis.cells import cells
from harness.analysis.frame import frame
from harness.analysis.proven import proven
from harness.analysis.ranking import barred, contrasts, headline, rank
from harness.analysis.results import Analysis
from harness.contract.stored_campaign import StoredHead, StoredOutcome
from harness.contract.stored_cell import StoredCell

__all__ = ["Analysis", "analyse"]


def analyse(
    head: StoredHead, records: Sequence[StoredCell], outcomes: Sequence[StoredOutcome]
) -> Analysis:
    """Compute all figures of a campaign from its raw records.

    Args:
        head: `campaign.json`, with the lines of `xray.jsonl`.
        records: the lines of `trials.jsonl`.
        outcomes: the lines of `outcomes.jsonl`.
    """
    laid_out = proven(head, frame(head, records, outcomes))
    figures = cells(laid_out, head.waves.anchor if head.waves else None)
    counted = xrays.with_calls(figures, head.xray)
    found, again = control.apart(head, counted)
    chosen = headline(head, found)
    never = barred(head)
    ranked_void = chosen.is_ranked and any(
        cell.key == chosen.key and cell.variant not in never and voids.is_void(cell)
        for cell in found
    )
    superseded = int((~laid_out["is_used"].astype(bool)).sum())
    known = looks.of_campaign(head, outcomes)
    groups = rank(head, chosen, found, known)
    return Analysis(
        headline=chosen,
        groups=groups,
        cells=found,
        contrasts=contrasts(head, chosen, groups, found, known.last),
        superseded=superseded,
        ranked_void=ranked_void,
        unranked=unranked.why(head, chosen, groups, found, known),
        control=again,
        floor=control.floor(head, found, again, known.last),
        looks=known,
    )
