"""Show the doctor's answer about the host before the campaign, from `campaign.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract.record import number

# campaign.json has what passed. The page leaves it out, so that problems stand out.
SHOWN = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class HostFinding:
    """One problem of the host, and the command that changes it."""

    check: str
    level: str
    text: str
    value: str
    needed: str
    command: str


@dataclass(frozen=True, slots=True)
class Fitness:
    """Whether the host was fit: one sentence, and the findings."""

    conclusion: str
    findings: tuple[HostFinding, ...]


def fitness(campaign: Mapping[str, Any]) -> Fitness | None:
    """Return the doctor's answer; None if the campaign has none."""
    answer = campaign.get("doctor")
    if not isinstance(answer, Mapping):
        return None
    found = [one for one in answer.get("findings") or () if one.get("level") in SHOWN]
    passed = len(answer.get("findings") or ()) - len(found)
    limits = [_bound(answer, what) for what in ("connections", "threads")]
    return Fitness(
        ". ".join([f"{passed} checks passed", *filter(None, limits)]) + ".",
        tuple(
            HostFinding(*(str(one.get(name) or "") for name in HostFinding.__slots__))
            for one in sorted(found, key=lambda one: SHOWN.index(one["level"]))
        ),
    )


def _bound(answer: Mapping[str, Any], what: str) -> str:
    most = number(answer, f"{what}_max")
    if most is None:
        return ""
    return f"The host holds at most {most:,.0f} {what}, bound by {answer.get(f'{what}_bound_by')}"
