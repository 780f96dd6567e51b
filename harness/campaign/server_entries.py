"""What `campaign.json` says of each server: the entries of `variants`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.backends.base import Prepared
from harness.plan import trial_plan
from harness.variants.variant_files import Variant

if TYPE_CHECKING:
    from harness.campaign.campaign_run import Request


def described(request: Request) -> list[dict[str, Any]]:
    """The variants, and the one that runs twice under its second name."""
    width = len(request.split.server)
    entries = [_describe(variant, width) for variant in request.variants]
    twice = [entry for entry in entries if entry["name"] == request.profile.same_twice]
    return entries + [
        entry
        | {
            "name": trial_plan.again(entry["name"]),
            "title": f"{entry['title']} (again)",
            "same_as": entry["name"],
        }
        for entry in twice
    ]


def prepare(kept: list[dict[str, Any]], request: Request, prepared: Mapping[str, Prepared]) -> None:
    """Note in the entries of `campaign.json` what was built, and what the builds wrote."""
    fresh = {entry["name"]: entry for entry in described(request)}
    for entry in kept:
        if entry.get("image") is None:  # nothing was measured of what it said
            entry |= fresh.get(entry["name"], {})
        one = prepared.get(trial_plan.program_of(entry["name"]))
        if one is None:
            entry |= {name: entry.get(name) for name in ("image", "runtime", "build")}
        else:
            entry |= {"image": one.digest, "runtime": one.runtime, "build": one.build}
            entry["outputs"] = sorted({*(entry.get("outputs") or ()), *one.outputs})
            entry["digest"] = one.variant.digest(entry["outputs"])


def _describe(variant: Variant, width: int) -> dict[str, Any]:
    file = variant.file
    return {
        "name": variant.name,
        "title": file.title,
        "architecture": file.architecture,
        "language": file.language,
        "family": file.family,
        "workers": variant.worker_count(width),
        "status": file.status,
        "summary": file.summary,
        "counters": file.counters,
        "limits": file.limits.model_dump() if file.limits else None,
        "digest": variant.digest(),
    }
