"""Combine all checks: ready or not, the largest N, and the limit that binds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.contract.errors import HostNotFit, UsageError
from harness.doctor import accuracy, connections, threads
from harness.host.facts import Ask, Check, Facts, Finding

CHECKS: tuple[Check, ...] = (*connections.CHECKS, *threads.CHECKS, *accuracy.CHECKS)
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest number that the host allows, and the check that limits it."""

    value: int
    check: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The doctor's result.

    Attributes:
        connections, threads: the largest number of each; None if no chosen check limits it.
    """

    ask: Ask
    findings: tuple[Finding, ...]
    connections: Bound | None
    threads: Bound | None

    def of(self, level: str) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(found for found in self.findings if found.level == level)

    @property
    def is_ready(self) -> bool:
        """Whether the host can hold what was asked."""
        return not self.of("error")

    def require_ready(self) -> None:
        """Refuse a host that cannot hold what was asked.

        Raises:
            HostNotFit: with each error, and the command that corrects it.
        """
        errors = self.of("error")
        if errors:
            asked = f"{self.ask.connections:,} connections"
            less = "a profile with fewer connections"
            if self.ask.servers > 1:
                asked += f" to each of {self.ask.servers} servers at once"
                less += ", or fewer servers"
            raise HostNotFit(
                f"this host is not fit for {asked}: {'; '.join(one.text for one in errors)}",
                hint=f"{'; '.join(filter(None, (one.command for one in errors)))}\n"
                f"       {self.largest}. Or use {less}.",
            )

    @property
    def largest(self) -> str:
        """The largest N and number of threads, as a sentence without its full stop."""
        parts = [
            f"{bound.value:,} {what} (bound by {bound.check})"
            for what, bound in (("connections", self.connections), ("threads", self.threads))
            if bound is not None
        ]
        return f"The most that this host holds: {', '.join(parts)}" if parts else "Nothing binds N"

    @property
    def conclusion(self) -> str:
        """Summarise in one sentence: ready, ready with warnings, or not."""
        what = f"{self.ask.connections:,} connections"
        if not self.is_ready:
            return f"Not ready for {what}."
        warnings = len(self.of("warning"))
        if warnings:
            return f"Ready for {what}, with {warnings} warning{'' if warnings == 1 else 's'}."
        return f"Ready for {what}."

    def as_json(self) -> dict[str, Any]:
        """Return it for `campaign.json` and for programs."""
        return {
            "schema": SCHEMA,
            "connections": self.ask.connections,
            "backend": self.ask.backend,
            "ready": self.is_ready,
            "connections_max": self.connections.value if self.connections else None,
            "connections_bound_by": self.connections.check if self.connections else None,
            "threads_max": self.threads.value if self.threads else None,
            "threads_bound_by": self.threads.check if self.threads else None,
            "findings": [found.as_json() for found in self.findings],
        }


def examine(facts: Facts, ask: Ask, names: Sequence[str] = ()) -> Answer:
    """Judge the facts by all checks, or by the named ones.

    Raises:
        UsageError: no check has that name.
    """
    found = tuple(replace(one.judge(facts, ask), check=one.name) for one in chosen(names))
    return Answer(
        ask,
        found,
        _least(found, lambda one: one.connections_max),
        _least(found, lambda one: one.threads_max),
    )


def chosen(names: Sequence[str]) -> Iterator[Check]:
    """The named checks, in the standard order; all if no name is given."""
    unknown = sorted(set(names) - {check.name for check in CHECKS})
    if unknown:
        raise UsageError(
            f"no check `{unknown[0]}`", hint="`c10k doctor --list-checks` lists all checks."
        )
    return (check for check in CHECKS if not names or check.name in names)


def _least(findings: Sequence[Finding], limit_of: Callable[[Finding], int | None]) -> Bound | None:
    known = [
        Bound(limit, found.check) for found in findings if (limit := limit_of(found)) is not None
    ]
    return min(known, key=lambda bound: bound.value, default=None)
