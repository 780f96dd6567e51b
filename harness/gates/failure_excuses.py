"""Decide whether others disturbed an attempt so much that its failure proves nothing. Pure.

A timeout is a server's fault only if the server had its CPUs to itself. The bounds are those of the
gates `shared-cpu` and `load-waited`. Time that the hypervisor took counts as that of others.
"""

from __future__ import annotations

from harness.contract.record import VariantFacts
from harness.contract.statuses import FailureCode
from harness.contract.stored_cell import StoredCell, StoredWait
from harness.gates.cpu_checks import LOAD_WAIT_SHARE_MAX, OTHERS_SHARE_MAX, balance
from harness.host.wait_budget import Spent

# Failures of a cell that a busy host can cause.
TIMED_FAILURES = frozenset(
    {FailureCode.HELD_FEWER, FailureCode.NOT_SETTLED, FailureCode.NOT_REACHED}
)
# A shorter delay cannot cause a timeout; a ramp may end within 10 ms.
NEGLIGIBLE_NS = 50_000_000
# A smaller share is not reported.
STEAL_NAMED_MIN = 0.01
HIDDEN = "the kernel does not show what else used the server's CPU"


def reason(spent: Spent | None) -> str | None:
    """Return what took CPU time from the server or the load during a wait; None if nothing did.

    If the kernel hides the evidence, a disturbance cannot be ruled out, so that is a reason, too.
    """
    if spent is None or spent.busy_ns is None:
        return HIDDEN
    taken_ns = max(0, spent.busy_ns - (spent.server_ns or 0)) + (spent.steal_ns or 0)
    found = []
    if taken_ns > OTHERS_SHARE_MAX * spent.whole_ns + max(spent.exact_ns, NEGLIGIBLE_NS):
        found.append(_taken(spent, taken_ns))
    waited_ns = spent.load_wait_ns or 0
    if waited_ns > LOAD_WAIT_SHARE_MAX * spent.span_ns + NEGLIGIBLE_NS:
        share = _percent(waited_ns, spent.span_ns)
        found.append(f"the load waited for a CPU for {share} of the time")
    return " and ".join(found) or None


def _taken(spent: Spent, taken_ns: int) -> str:
    if spent.others_ns is None:
        share = _percent(taken_ns, spent.whole_ns)
        return f"the server's CPU was busy for {share}, of which the server's own part is not known"
    text = f"other processes used {_percent(spent.others_ns, spent.whole_ns)} of the server's CPU"
    if spent.steal_ns and spent.steal_ns > STEAL_NAMED_MIN * spent.whole_ns:
        text += f" (the hypervisor took {_percent(spent.steal_ns, spent.whole_ns)})"
    return text


def disturbed(record: StoredCell, facts: VariantFacts) -> str | None:
    """Return the same for a failed cell, from its wait or else from its turns."""
    if record.failure_code not in TIMED_FAILURES:
        return None
    spent = evidence(record)
    return reason(spent) if spent else None


def evidence(record: StoredCell) -> Spent | None:
    """Return how CPU time was used while the cell failed; None if the record does not say."""
    return _wait(record.wait) or _turns(record)


def _wait(told: StoredWait) -> Spent | None:
    if told.span_ns is None or told.cpus is None:
        return None
    return Spent(
        span_ns=round(told.span_ns),
        cpus=round(told.cpus),
        server_ns=_whole(told.server_ns),
        busy_ns=_whole(told.busy_ns),
        steal_ns=_whole(told.steal_ns),
        load_wait_ns=_whole(told.load_wait_ns),
        exact_ns=round(told.exact_ns or 0),
    )


def _whole(count: float | None) -> int | None:
    return None if count is None else round(count)


def _turns(record: StoredCell) -> Spent | None:
    found, charged = balance(record), record.server.charged
    if found is None:
        return None
    return Spent(
        span_ns=round(charged.span_ns or 0),
        cpus=round(charged.cpus or 0),
        server_ns=round(found.server_ns),
        busy_ns=round(found.busy_ns),
        steal_ns=None,
        load_wait_ns=None,
        exact_ns=round(found.exact_ns),
    )


def _percent(part_ns: int, whole_ns: int) -> str:
    return f"{100 * min(1.0, part_ns / max(1, whole_ns)):.0f} %"
