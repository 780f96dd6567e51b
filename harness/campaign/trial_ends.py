"""What the ends of a campaign's trials mean for the campaign. Pure: lines of outcomes in.

The last attempt at a trial counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.contract.errors import Exit
from harness.contract.statuses import TrialEnd
from harness.gates.server_faults import INCONCLUSIVE, NOT_AVAILABLE, SERVER_CODES
from harness.plan import trial_plan


def failed(outcomes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """{server: code} of those whose trials ended in a failure that counts for the exit code."""
    last = {outcome["trial"]: outcome for outcome in outcomes}
    return {
        trial_plan.program_of(outcome["variant"]): outcome["code"]
        for outcome in last.values()
        if outcome["outcome"] == TrialEnd.FAILED
        and outcome["code"] not in {NOT_AVAILABLE, *INCONCLUSIVE}
    }


def inconclusive(outcomes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """{server: code} of those whose trials ended without a verdict on the server."""
    last = {outcome["trial"]: outcome for outcome in outcomes}
    return {
        trial_plan.program_of(outcome["variant"]): outcome["code"]
        for outcome in last.values()
        if outcome["code"] in INCONCLUSIVE
    }


def exit_code(outcomes: Sequence[dict[str, Any]]) -> Exit:
    """What the trials' outcomes make of the exit code (a void ranked cell is judged later)."""
    codes = set(failed(outcomes).values())
    if codes - SERVER_CODES:
        return Exit.BUG
    if codes:
        return Exit.SERVER_FAULT
    return Exit.GATE_FAILED if inconclusive(outcomes) else Exit.OK
