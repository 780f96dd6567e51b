"""Take out of the frame what no self-test of the generator vouches for.

Rule 1: where some blocks can rank, usable cells of the others are `unproven`: shown with the
reason, and in no figure. Where no block can, all figures stay and none ranks (ranking.py).
Rule 2: latencies of a block whose latency part is not proven are not there.
"""

from __future__ import annotations

import pandas as pd

from harness.contract.stored_campaign import StoredHead
from harness.gates import USABLE, proof_coverage

# All columns that hold a time of a message or of connect(): the histogram is one as well.
LATENCIES = (
    "connect_p99_us",
    "hello_p99_us",
    "churn_connect_p50_us",
    "churn_connect_p99_us",
    "self_delay_p99_us",
)


def proven(head: StoredHead, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without what is not vouched for; the rows stay."""
    blocks = sorted(set(map(int, frame["block"])))
    unranked = proof_coverage.without(head, "ranking", blocks)
    untimed = proof_coverage.without(head, "latency", blocks)
    if not unranked and not untimed:
        return frame
    found = frame.copy()
    if not proof_coverage.why_none(head, "ranking"):
        usable = found["status"].isin(USABLE) & found["block"].isin(list(unranked))
        found.loc[usable, "status"] = proof_coverage.UNPROVEN
        found["reasons"] = [
            (*reasons, (proof_coverage.CODE, unranked[int(block)])) if is_out else reasons
            for is_out, block, reasons in zip(usable, found["block"], found["reasons"], strict=True)
        ]
    is_untimed = found["block"].isin(list(untimed))
    found.loc[is_untimed, "histogram"] = None
    found.loc[is_untimed, list(LATENCIES)] = float("nan")
    return found
