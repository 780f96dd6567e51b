"""Decide whether the headline is settled, and estimate what would settle it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.looks import Look
from harness.analysis.results import Analysis, Pair, Row
from harness.contract.statuses import CampaignState
from harness.contract.stored_campaign import StoredHead
from harness.plan.profiles.profile import LOOK_STEP

UNLIKELY = "more blocks are unlikely to settle"
# Pairs beyond these are counted, not named.
PAIRS_NAMED_MAX = 3


def settled(analysis: Analysis) -> bool:
    """Whether every pair of servers that can be ranked is different or equivalent.

    False before the first look. True where no two servers can be ranked: no block would change it.
    """
    return analysis.looks.last is not None and not unsettled(analysis)


def unsettled(analysis: Analysis) -> tuple[Pair, ...]:
    """Return the pairs at the headline that are neither different nor equivalent."""
    return tuple(pair for group in analysis.groups for pair in group.pairs if not pair.is_settled)


def blocks_to_plan(analysis: Analysis, trials_max: int) -> int | None:
    """Return the number of blocks with those of the next look; None if the campaign adds none.

    It adds none until all planned blocks are complete, if it is settled, or if the next look would
    take more than `trials_max` blocks.
    """
    looks = analysis.looks
    longer = looks.planned + LOOK_STEP
    if looks.completed < looks.planned or longer > trials_max or settled(analysis):
        return None
    return longer


def progress(analysis: Analysis, look: Look, more: int) -> str:
    """Return what a look found, in one sentence.

    Args:
        more: how many blocks are planned after it.
    """
    when = f"look {look.number} after {look.blocks} blocks"
    pairs = unsettled(analysis)
    if not any(group.pairs for group in analysis.groups):
        return f"{when}: no two servers can be compared"
    if not pairs:
        return f"{when}: settled"
    follows = f"; {more} more blocks" if more else ""
    return f"{when}: not settled: {_named(pairs)}{follows}"


def forecast(row: Row) -> str:
    """Return what would settle a ranked server: `about 4 more blocks`; empty if it is settled."""
    if row.places is None or row.is_settled:
        return ""
    more = row.blocks_to_settle
    return f"{UNLIKELY} it" if more is None else f"about {more} more blocks"


def advice(analysis: Analysis, head: StoredHead) -> str:
    """Return what would settle the ranking, without a full stop; empty if it is settled.

    Args:
        head: `campaign.json`.
    """
    rows = [row for row in analysis.rows if row.places and not row.is_settled]
    if not rows or analysis.looks.last is None:
        return ""
    names = listed([row.variant for row in rows])
    known = [row.blocks_to_settle for row in rows if row.blocks_to_settle is not None]
    if not known:
        return f"not settled: {names} ({UNLIKELY} them)"
    some = "them" if len(known) == len(rows) else "some of them"
    words = f"about {max(known)} more blocks would settle {some}"
    if head.state == CampaignState.RUNNING:
        return f"not settled: {names} ({words})"
    # The plan may have blocks after the last look, which need no `--blocks`.
    more = analysis.looks.last.blocks + max(known) - analysis.looks.planned
    added = f" --blocks +{more}" if more > 0 else ""
    command = f"`c10k run --resume {head.campaign or 'CAMPAIGN'}{added}`"
    return f"not settled: {names} ({words}: {command})"


def listed(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _named(pairs: Sequence[Pair]) -> str:
    """Return `epoll-lt and epoll-et, poll and select, and 4 more pairs`."""
    words = [f"{pair.one} and {pair.other}" for pair in pairs[:PAIRS_NAMED_MAX]]
    if rest := len(pairs) - len(words):
        words.append(f"and {rest} more pair{'' if rest == 1 else 's'}")
    return ", ".join(words)
