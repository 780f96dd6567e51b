"""Remove from the frame the figures that no self-test of the generator proves.

Rule 1: if some blocks can rank, usable cells of the others become `unproven`. They are shown with
the reason, and are in no figure. If no block can rank, all figures stay, but no server is ranked.
Rule 2: latencies of a block whose latency part is not proven are removed.
"""

from __future__ import annotations

import pandas as pd

from harness.contract.stored_campaign import StoredHead
from harness.gates import USABLE, proof_coverage

# The columns with times of messages or of connect(), but for the histogram.
LATENCIES = (
    "connect_p99_us",
    "hello_p99_us",
    "churn_connect_p50_us",
    "churn_connect_p99_us",
    "self_delay_p99_us",
)


def proven(head: StoredHead, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without unproven figures; the rows stay."""
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
