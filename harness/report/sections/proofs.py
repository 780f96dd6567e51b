"""Show the self-tests of the load generator, and say where latencies are hidden."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.results import Analysis
from harness.contract.stored_campaign import StoredHead, StoredSelftest
from harness.gates import generator_fitness, proof_coverage
from harness.report.sections.tables import NONE

# If latencies are hidden: how the same fault may affect the ranking, and where to look.
BATCHES = (
    "A generator that is late sends its messages in bursts: a server then finds more events per "
    "wake-up and pays less for each echo, so read the cost together with the events per wake-up"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One self-test, as text: when it ran, and the result of each part."""

    place: str
    ranking: str
    latency: str
    took: str


def attempts(head: StoredHead) -> tuple[Attempt, ...]:
    """Return all self-tests of a campaign; none if its profile asks for none."""
    return tuple(_attempt(one) for one in generator_fitness.attempts(head.selftest))


def _attempt(kept: StoredSelftest) -> Attempt:
    block, took_s = kept.after_block, kept.duration_s
    return Attempt(
        f"after block {block}" if block else "at the start",
        generator_fitness.why_not(kept, "ranking") or "passed",
        # Attempts without a place are from versions that had no parts
        "passed" if kept.passed else generator_fitness.why_not(kept, "latency") or _untold(block),
        f"{took_s:.0f} s" if took_s is not None else NONE,
    )


def _untold(block: int | None) -> str:
    return NONE if block is None else "passed"


def hidden(head: StoredHead) -> str:
    """Return why no latency is shown, without a full stop; empty if latencies are shown."""
    because = proof_coverage.why_none(head, "latency")
    return f"Latencies are not shown: {because}" if because else ""


def note(head: StoredHead, analysis: Analysis) -> str:
    """Return the sentences that replace latencies; empty if they are shown."""
    because = hidden(head)
    if not because:
        return ""
    return f"{because}. {BATCHES}." if analysis.unranked is None else f"{because}."


def caveats(head: StoredHead) -> list[str]:
    """Return the caveats about latencies that are hidden, in all blocks or in some."""
    if hidden(head):
        return ["latencies are not shown"]
    lacking = proof_coverage.without(head, "latency", sorted(head.planned_blocks))
    if not lacking:
        return []
    numbers = ", ".join(map(str, lacking))
    of = f"block {numbers}" if len(lacking) == 1 else f"blocks {numbers}"
    has, it = ("has", "it") if len(lacking) == 1 else ("have", "them")
    return [f"{of} {has} no latencies: no passed self-test next to {it}"]
