"""What `campaign.json` says of each server: the entries of `variants`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import plan
from harness.variants import Variant

if TYPE_CHECKING:
    from harness.campaign import Request


def described(request: Request) -> list[dict[str, Any]]:
    """The variants, and the one that runs twice under its second name."""
    width = len(request.split.server)
    entries = [_describe(variant, width) for variant in request.variants]
    twice = [entry for entry in entries if entry["name"] == request.profile.same_twice]
    return entries + [
        entry
        | {
            "name": plan.again(entry["name"]),
            "title": f"{entry['title']} (again)",
            "same_as": entry["name"],
        }
        for entry in twice
    ]


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
