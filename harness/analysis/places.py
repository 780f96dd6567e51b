"""Compute the range of places of each server that the comparisons support. Pure.

A server's best possible place is after all servers that are better, its worst before all that are
worse. Equivalence is not transitive: of three servers, each within 5 % of the next, the outer two
may be 8 % apart. So servers share a rank only if every pair of them is equivalent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.looks import Look, blocks_to_settle
from harness.analysis.results import Pair
from harness.plan.profiles.profile import LOOK_STEP


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one server among the ranked ones.

    Attributes:
        best, worst: its possible places, from 1.
        rank: "2" for one place, "1=" if it is shared, "1–3" otherwise.
        is_settled: whether every pair with it is different or equivalent.
        blocks_to_settle: about how many more blocks would settle all of its pairs; None if it is
            settled, or if more blocks are unlikely to settle it.
    """

    best: int
    worst: int
    rank: str
    is_settled: bool
    blocks_to_settle: int | None


def places(names: Sequence[str], pairs: Sequence[Pair], look: Look) -> dict[str, Place]:
    """Return the place of each of `names`, by the pairs of these servers."""
    known = set(names)
    among = [pair for pair in pairs if {pair.one, pair.other} <= known]
    ranges = {name: _range(name, among, len(names)) for name in names}
    return {name: _place(name, ranges, among, look) for name in names}


def _range(name: str, pairs: Sequence[Pair], count: int) -> tuple[int, int]:
    better = sum(pair.worse == name for pair in pairs)
    worse = sum(pair.better == name for pair in pairs)
    return 1 + better, count - worse


def _place(
    name: str, ranges: dict[str, tuple[int, int]], pairs: Sequence[Pair], look: Look
) -> Place:
    own = [pair for pair in pairs if name in (pair.one, pair.other)]
    is_settled = all(pair.is_settled for pair in own)
    best, worst = ranges[name]
    rank = f"{best}–{worst}"
    if best == worst:
        rank = f"{best}"
    elif _is_shared({other for other in ranges if ranges[other] == ranges[name]}, pairs):
        rank = f"{best}="
    return Place(best, worst, rank, is_settled, None if is_settled else _more(own, look))


def _is_shared(names: set[str], pairs: Sequence[Pair]) -> bool:
    """Whether every pair of several servers is equivalent."""
    among = [pair for pair in pairs if {pair.one, pair.other} <= names]
    return bool(among) and all(
        pair.comparison is not None and pair.comparison.outcome == "equivalent" for pair in among
    )


def _more(pairs: Sequence[Pair], look: Look) -> int | None:
    """Return the blocks until the last unsettled pair is settled; None if that is unlikely.

    A pair that shares too few blocks for a comparison takes at least one more look.
    """
    counts = [
        blocks_to_settle(pair.comparison, look) if pair.comparison else LOOK_STEP
        for pair in pairs
        if not pair.is_settled
    ]
    known = [count for count in counts if count is not None]
    return max(known) if len(known) == len(counts) else None
