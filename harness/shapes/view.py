"""What a shape asks of a campaign, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis.results import Analysis, Cell

Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True, slots=True)
class Observed:
    """One value: of which server or cell, its text, and whether it is within the bound."""

    who: str
    value: float
    text: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One shape, judged.

    Attributes:
        observed: every value that the campaign has; empty where it has none.
        reason: why it is not applicable, or what it says nothing about.
    """

    id: str
    title: str
    observed: tuple[Observed, ...]
    bound: str
    source: str
    verdict: Verdict
    reason: str

    @property
    def observed_text(self) -> str:
        """All values, as text."""
        return "; ".join(f"{one.who} {one.text}" for one in self.observed) or "—"


@dataclass(frozen=True, slots=True)
class View:
    """What shapes ask of a campaign."""

    architectures: Mapping[str, str]
    analysis: Analysis
    selftest: Mapping[str, Any]

    def cells(self, *architectures: str) -> Iterator[Cell]:
        """The cells of servers of those architectures, in the order of the analysis."""
        return (
            cell
            for cell in self.analysis.cells
            if self.architectures.get(cell.variant) in architectures
        )

    def named(self, *architectures: str) -> list[str]:
        """The servers of those architectures."""
        return [name for name, one in self.architectures.items() if one in architectures]


Judge = Callable[[View], Iterable[Observed]]


@dataclass(frozen=True, slots=True)
class Shape:
    """One published result.

    Attributes:
        needs: what a campaign must have measured for it, as the reason where it did not.
    """

    id: str
    title: str
    bound: str
    source: str
    needs: str
    judge: Judge
