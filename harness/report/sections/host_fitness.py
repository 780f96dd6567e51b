"""What the doctor said of the host before the campaign, as `campaign.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract.record import number

# What passed is in campaign.json; a page that lists it all hides what did not.
SHOWN = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class HostFinding:
    """One thing that is not as it should be, and the command that changes it."""

    check: str
    level: str
    text: str
    value: str
    needed: str
    command: str


@dataclass(frozen=True, slots=True)
class Fitness:
    """Whether the host was fit: one sentence, and what was found."""

    conclusion: str
    findings: tuple[HostFinding, ...]


def fitness(campaign: Mapping[str, Any]) -> Fitness | None:
    """The doctor's answer; None where a campaign has none."""
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
    return f"The host holds {most:,.0f} {what} at most, bound by {answer.get(f'{what}_bound_by')}"
