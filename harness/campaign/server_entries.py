"""What `campaign.json` says of each server: the entries of `variants`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from harness.backends.base import Prepared
from harness.contract.campaign_head import ServerEntry
from harness.plan import trial_plan
from harness.variants.variant_files import Variant

if TYPE_CHECKING:
    from harness.campaign.campaign_run import Request


def described(request: Request) -> list[ServerEntry]:
    """The variants, and the one that runs twice under its second name."""
    width = len(request.split.server)
    entries = [_describe(variant, width) for variant in request.variants]
    twice = [entry for entry in entries if entry.name == request.profile.same_twice]
    return entries + [
        entry.changed(
            name=trial_plan.again(entry.name),
            title=f"{entry.title} (again)",
            same_as=entry.name,
        )
        for entry in twice
    ]


def prepare(
    kept: Iterable[ServerEntry], request: Request, prepared: Mapping[str, Prepared]
) -> list[ServerEntry]:
    """Return the entries with what was built, and what the builds wrote."""
    fresh = {entry.name: entry for entry in described(request)}
    return [
        _with_build(
            # Without an image, nothing was measured of the server as the entry describes it
            entry.changed(**fresh[entry.name].as_json())
            if entry.image is None and entry.name in fresh
            else entry,
            prepared.get(trial_plan.program_of(entry.name)),
        )
        for entry in kept
    ]


def _with_build(entry: ServerEntry, built: Prepared | None) -> ServerEntry:
    if built is None:
        return entry.changed(image=entry.image, runtime=entry.runtime, build=entry.build)
    outputs = sorted({*(entry.outputs or ()), *built.outputs})
    return entry.changed(
        image=built.digest,
        runtime=built.runtime,
        build=built.build,
        outputs=outputs,
        digest=built.variant.digest(outputs),
    )


def _describe(variant: Variant, width: int) -> ServerEntry:
    file = variant.file
    return ServerEntry(
        name=variant.name,
        title=file.title,
        architecture=file.architecture,
        language=file.language,
        family=file.family,
        workers=variant.worker_count(width),
        status=file.status,
        summary=file.summary,
        counters=file.counters,
        limits=file.limits.model_dump() if file.limits else None,
        digest=variant.digest(),
    )
