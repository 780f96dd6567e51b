"""Decide which blocks of a campaign its self-tests prove. Pure.

Rule 1: a passed self-test proves the blocks next to it, and no others. `after_block` of a self-test
is the block after which it ran; 0 is before all blocks. Capacities are measured before block 1, and
count as next to the self-tests at 0.
Rule 2: each part has its own proof. Of several self-tests at one place the last one counts for the
next block, so that a resume proves the host as it now runs. For the block before that place, any
pass counts.
Rule 3: self-tests without `after_block` are from campaigns before this key existed. The last one
counts for all blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract.statuses import CampaignState, CellStatus
from harness.contract.stored_campaign import Part, StoredHead, StoredSelftest
from harness.gates import generator_fitness

# The status of a cell whose block no self-test proves, and the code of its reason
UNPROVEN = CellStatus.UNPROVEN
CODE = "selftest"


def is_vouched(attempts: Sequence[StoredSelftest], part: Part, block: int) -> bool:
    """Whether a self-test next to the block passed the part."""
    return any(not generator_fitness.why_not(one, part) for one in _next_to(attempts, block))


def why_not(head: StoredHead, part: Part, block: int) -> str:
    """Return why no self-test proves a part of a block; empty if one does.

    Nothing is missing if no self-test was asked for. While a campaign runs, its latest blocks wait
    for the next self-test; they count if the one before them passed.
    """
    attempts = generator_fitness.attempts(head.selftest)
    if not attempts:
        return ""
    last = attempts[-1]
    if last.after_block is None:
        return generator_fitness.why_not(last, part)
    if is_vouched(attempts, part, block):
        return ""
    waits = head.state == CampaignState.RUNNING and block > last.after_block
    if waits and not generator_fitness.why_not(last, part):
        return ""
    because = [
        why for one in _next_to(attempts, block) if (why := generator_fitness.why_not(one, part))
    ]
    found = f"no passed self-test is next to block {block}"
    return f"{found}: {because[-1]}" if because else found


def without(head: StoredHead, part: Part, blocks: Sequence[int]) -> dict[int, str]:
    """Return {block: why no self-test proves that part} of those blocks that lack the proof."""
    found = {block: why_not(head, part, block) for block in sorted(blocks)}
    return {block: why for block, why in found.items() if why}


def why_none(head: StoredHead, part: Part) -> str:
    """Return why no block of a campaign has that part; empty if one has."""
    blocks = head.planned_blocks or {1}
    lacking = without(head, part, sorted(blocks))
    if len(lacking) < len(blocks):
        return ""
    last = generator_fitness.attempts(head.selftest)[-1]
    return generator_fitness.why_not(last, part) or lacking[min(blocks)]


def advice(head: StoredHead) -> str:
    """Return what to do if a self-test prevents the ranking, without a full stop."""
    again = "run again"
    if head.state in (CampaignState.STOPPED, CampaignState.INTERRUPTED):
        again = f"go on with `c10k run --resume {head.campaign or 'CAMPAIGN'}`"
    return f"End other programs on this host, check it with `c10k selftest`, then {again}"


def _next_to(attempts: Sequence[StoredSelftest], block: int) -> list[StoredSelftest]:
    """Return the self-tests that count for a block: the last one before it, and all after it."""
    before = [one for one in attempts if one.after_block == max(0, block - 1)]
    behind = [one for one in attempts if one.after_block == block]
    return [*before[-1:], *(behind if block else ())]
