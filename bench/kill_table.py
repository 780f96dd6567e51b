"""Store the results of kills as lines of JSON, and print them as a table. Pure but for reading."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Rule = Literal["end", "lost", "left", "report", "resume"]
HEAD = (
    "| backend | killed | by | kills | ended with | resumed to the end | cells lost | left behind "
    "| reports unreadable |\n|---|---|---|--:|---|--:|--:|--:|--:|"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that a campaign broke, and the description."""

    rule: Rule
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """One kill and its outcome.

    `hit`: the signal was sent before the campaign ended. `code`: the exit code of the run, negative
    for a signal. `kept`: number of cells in the store when the run ended.
    """

    backend: str
    number: int
    victim: str
    by: str
    share: float
    hit: bool
    code: int
    kept: int
    faults: tuple[Fault, ...]

    def line(self) -> str:
        """Encode it as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, line: str) -> Told:
        """Read such a line."""
        members = json.loads(line)
        faults = tuple(Fault(**fault) for fault in members.pop("faults"))
        return cls(**members, faults=faults)


def read(paths: Iterable[Path]) -> list[Told]:
    """Read all kills that these files record."""
    return [Told.of(line) for path in paths for line in path.read_text().splitlines()]


def table(kills: Sequence[Told]) -> str:
    """Make a row for each kind of kill, sorted by name."""
    kinds = sorted({(one.backend != "process", one.victim, one.by) for one in kills})
    rows = [
        _row([one for one in kills if (one.backend != "process", one.victim, one.by) == kind])
        for kind in kinds
    ]
    total = f"| | | all | {len(kills)} | | {_whole(kills)} | {_count(kills)} |"
    return "\n".join([HEAD, *rows, total])


def faults(kills: Sequence[Told]) -> list[str]:
    """Make a line for each rule that a kill broke."""
    return [
        f"- {kill.backend}, {kill.victim} {kill.by} at {kill.share:.0%}: {fault.text}"
        for kill in kills
        for fault in kill.faults
    ]


def _row(kills: Sequence[Told]) -> str:
    one = kills[0]
    ends = Counter(kill.code for kill in kills)
    told = ", ".join(
        f"{code}" if count == 1 else f"{code} ({count} times)"
        for code, count in sorted(ends.items())
    )
    return (
        f"| {one.backend} | {one.victim} | {one.by} | {len(kills)} | {told} "
        f"| {_whole(kills)} | {_count(kills)} |"
    )


def _whole(kills: Sequence[Told]) -> int:
    return sum(not _broke(kill, "resume") for kill in kills)


def _count(kills: Sequence[Told]) -> str:
    rules: tuple[Rule, ...] = ("lost", "left", "report")
    return " | ".join(str(sum(_broke(kill, rule) for kill in kills)) for rule in rules)


def _broke(kill: Told, rule: Rule) -> bool:
    return any(fault.rule == rule for fault in kill.faults)
