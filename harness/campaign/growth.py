"""Add blocks to a campaign: by itself while its headline is not settled, or on request.

The plan of more blocks begins with that of fewer, so everything that is stored stays a part of it.
`campaign.json` has the longer plan before the first of its trials runs: a resume goes on with it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.campaign.progress import Progress
from harness.contract.errors import UsageError
from harness.contract.stored_campaign import StoredHead, StoredOutcome
from harness.contract.stored_cell import StoredCell
from harness.plan.profiles.profile import LOOK_STEP
from harness.store.campaign_store import Campaign

if TYPE_CHECKING:
    from harness.analysis import Analysis
    from harness.analysis.results import CellKey
    from harness.campaign.campaign_run import Request

EVERY = f"looks come every {LOOK_STEP} blocks"
BLOCKS_MAX = 1_000
SOME = ", ".join(f"+{LOOK_STEP * count}" for count in (1, 2, 3))


def added(text: str | None, *, resumes: bool) -> int:
    """How many blocks `--blocks` adds; 0 without it.

    Raises:
        UsageError: it is no multiple of the distance between two looks, or no campaign is resumed.
    """
    if text is None:
        return 0
    if not resumes:
        raise UsageError(
            "`--blocks` adds blocks to a campaign, so it needs `--resume CAMPAIGN`",
            hint="A new campaign has as many blocks as `trials` in its profile says.",
        )
    found = re.fullmatch(r"\+?([0-9]{1,6})", text)
    count = int(found[1]) if found else 0
    if not 0 < count <= BLOCKS_MAX or count % LOOK_STEP:
        raise UsageError(
            f"`--blocks {text}`: expected {SOME} or another multiple of {LOOK_STEP} up to "
            f"+{BLOCKS_MAX}, as {EVERY}",
            hint=f"`c10k run --resume CAMPAIGN --blocks +{LOOK_STEP}` adds the blocks of one look.",
        )
    return count


def write_plan(campaign: Campaign, request: Request) -> None:
    """Put the plan of a request with more blocks into `campaign.json`."""
    head = campaign.head()
    if len(request.trials) > len(head.plan):
        campaign.write_head(head.changed(plan=[trial.planned() for trial in request.trials]))


def tell(campaign: Campaign, request: Request, progress: Progress, block: int) -> None:
    """Say what a look found, where one comes after `block`."""
    from harness.analysis import settling
    from harness.analysis.looks import Looks

    if not request.profile.ranked or not Looks(first=request.profile.trials).is_look(block):
        return
    analysis = _analysis(campaign)
    look = analysis.looks.last
    if look is None or look.blocks != block or not analysis.headline.is_ranked:
        return
    planned = settling.blocks_to_plan(analysis, request.profile.blocks_max)
    more = max(planned or 0, analysis.looks.planned) - block
    progress.say(settling.progress(analysis, look, more))


def longer(campaign: Campaign, request: Request) -> Request | None:
    """The request with the blocks until the next look; None where the campaign is at its end.

    It is where the headline is settled, where the profile allows no more (`trials_max`), and where
    further blocks do not measure the headline.
    """
    from harness.analysis import settling

    if request.blocks_planned + LOOK_STEP > request.profile.blocks_max:
        return None
    analysis = _analysis(campaign)
    blocks = settling.blocks_to_plan(analysis, request.profile.blocks_max)
    if blocks is None:
        return None
    found = replace(request, blocks=blocks)
    if not _measures(found, request.blocks_planned, analysis.headline.key):
        return None
    write_plan(campaign, found)
    return found


def require_headline(campaign: Campaign, request: Request, after: int) -> None:
    """Refuse to add blocks that could not change a verdict.

    Raises:
        UsageError: no block behind `after` measures the headline.
    """
    if not _measures(request, after, _analysis(campaign).headline.key):
        raise UsageError(
            f"{campaign.name}: blocks behind {request.profile.trials} do not measure the headline: "
            "its scenario has `blocks` in the profile",
            hint="Start a new campaign whose profile has no `blocks` in that scenario.",
        )


def _measures(request: Request, after: int, key: CellKey | None) -> bool:
    """Whether a block behind `after` has the cell: a scenario with `blocks` ends with `trials`."""
    from harness.analysis.frame import planned_key

    added = (trial for trial in request.trials if trial.block > after)
    return any(planned_key(cell) == key for trial in added for cell in trial.cells)


def _analysis(campaign: Campaign) -> Analysis:
    from harness.analysis import analyse  # takes a while to import, and few campaigns come here

    return analyse(
        StoredHead.of(campaign.head().as_json()),
        [StoredCell.of(line) for line in campaign.cells()],
        [StoredOutcome.of(line) for line in campaign.outcomes()],
    )
