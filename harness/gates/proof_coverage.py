"""Which blocks of a campaign its self-tests vouch for. Pure: `campaign.json` in, reasons out.

Rule 1: a pass vouches for the blocks next to it, and for no others. `after_block` of an attempt is
the block after which it ran; 0 is before all blocks. Capacities, which are measured before block 1,
count as next to the attempts at 0.
Rule 2: each part has its own proof. Of several attempts at one place the last one counts for the
block behind it, so that a resume proves the host of now. For the block in front any pass does.
Rule 3: attempts without `after_block` are of campaigns from before places: the last one speaks for
all blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract.statuses import CampaignState, CellStatus
from harness.gates import generator_fitness
from harness.gates.generator_fitness import Part

AFTER_BLOCK = "after_block"
# The status of a cell whose block nothing vouches for, and the code of its reason
UNPROVEN = CellStatus.UNPROVEN
CODE = "selftest"

Head = Mapping[str, Any]


def is_vouched(attempts: Sequence[Head], part: Part, block: int) -> bool:
    """Whether an attempt next to the block passed the part."""
    return any(not generator_fitness.why_not(one, part) for one in _next_to(attempts, block))


def why_not(campaign: Head, part: Part, block: int) -> str:
    """Why nothing vouches for a part of a block; empty where something does.

    Nothing is missing where no self-test was asked for. While a campaign runs, its latest blocks
    wait for the next attempt; they count if the one before them passed.
    """
    attempts = generator_fitness.attempts(campaign.get("selftest"))
    if not attempts:
        return ""
    last = attempts[-1]
    if AFTER_BLOCK not in last:
        return generator_fitness.why_not(last, part)
    if is_vouched(attempts, part, block):
        return ""
    waits = campaign.get("state") == CampaignState.RUNNING and block > last[AFTER_BLOCK]
    if waits and not generator_fitness.why_not(last, part):
        return ""
    because = [
        why for one in _next_to(attempts, block) if (why := generator_fitness.why_not(one, part))
    ]
    found = f"no passed self-test is next to block {block}"
    return f"{found}: {because[-1]}" if because else found


def without(campaign: Head, part: Part, blocks: Sequence[int]) -> dict[int, str]:
    """{block: why nothing vouches for that part of it} of those blocks."""
    found = {block: why_not(campaign, part, block) for block in sorted(blocks)}
    return {block: why for block, why in found.items() if why}


def why_none(campaign: Head, part: Part) -> str:
    """Why no block of a campaign has that part; empty where one has."""
    planned = {int(trial.get("block") or 0) for trial in campaign.get("plan") or ()}
    blocks = planned - {0} or {1}
    lacking = without(campaign, part, sorted(blocks))
    if len(lacking) < len(blocks):
        return ""
    last = generator_fitness.attempts(campaign.get("selftest"))[-1]
    return generator_fitness.why_not(last, part) or lacking[min(blocks)]


def advice(campaign: Head) -> str:
    """What to do where a self-test takes the ranking away, without a full stop."""
    again = "run again"
    if campaign.get("state") in (CampaignState.STOPPED, CampaignState.INTERRUPTED):
        again = f"go on with `c10k run --resume {campaign.get('campaign') or 'CAMPAIGN'}`"
    return f"End other programs on this host, check it with `c10k selftest`, then {again}"


def _next_to(attempts: Sequence[Head], block: int) -> list[Head]:
    """The attempts that speak for a block: the last one in front of it, and all behind it."""
    before = [one for one in attempts if one.get(AFTER_BLOCK) == max(0, block - 1)]
    behind = [one for one in attempts if one.get(AFTER_BLOCK) == block]
    return [*before[-1:], *(behind if block else ())]
