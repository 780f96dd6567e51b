"""The self-tests of the load generator: each attempt, and where they leave latencies hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.results import Analysis
from harness.gates import generator_fitness, proof_coverage
from harness.report.sections.tables import NONE

# Of the ranking where latencies are hidden: what the same fault may do to it, and where to look.
BATCHES = (
    "A generator that is late sends its messages in bursts: a server then finds more events per "
    "wake-up and pays less for each echo, so read the cost together with the events per wake-up"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One self-test, as text: when it ran, and what became of each part."""

    place: str
    ranking: str
    latency: str
    took: str


def attempts(campaign: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """All self-tests of a campaign; none where none was asked for."""
    return tuple(_attempt(one) for one in generator_fitness.attempts(campaign.get("selftest")))


def _attempt(kept: Mapping[str, Any]) -> Attempt:
    block, took_s = kept.get(proof_coverage.AFTER_BLOCK), kept.get("duration_s")
    return Attempt(
        f"after block {block}" if block else "at the start",
        generator_fitness.why_not(kept, "ranking") or "passed",
        # Attempts without a place are from before parts
        "passed"
        if kept.get("passed")
        else generator_fitness.why_not(kept, "latency") or _untold(block),
        f"{took_s:.0f} s" if took_s is not None else NONE,
    )


def _untold(block: int | None) -> str:
    return NONE if block is None else "passed"


def hidden(campaign: Mapping[str, Any]) -> str:
    """Why no latency is shown, without a full stop; empty where latencies are shown."""
    because = proof_coverage.why_none(campaign, "latency")
    return f"Latencies are not shown: {because}" if because else ""


def note(campaign: Mapping[str, Any], analysis: Analysis) -> str:
    """What stands in place of latencies, in whole sentences; empty where they are shown."""
    because = hidden(campaign)
    if not because:
        return ""
    return f"{because}. {BATCHES}." if analysis.unranked is None else f"{because}."


def caveats(campaign: Mapping[str, Any]) -> list[str]:
    """What the validity line says of latencies that are hidden, in all blocks or in some."""
    if hidden(campaign):
        return ["latencies are not shown"]
    blocks = {int(trial.get("block") or 0) for trial in campaign.get("plan") or ()} - {0}
    lacking = proof_coverage.without(campaign, "latency", sorted(blocks))
    if not lacking:
        return []
    numbers = ", ".join(map(str, lacking))
    of = f"block {numbers}" if len(lacking) == 1 else f"blocks {numbers}"
    return [f"in no latency: {of}, with no passed self-test next to it"]
