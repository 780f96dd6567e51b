"""Go on with a campaign: the request that it was started with, and whether it still holds."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from harness.backends.base import Backend
from harness.campaign import environment, growth
from harness.campaign.campaign_run import Request, environment_now
from harness.contract.campaign_head import ServerEntry
from harness.contract.errors import UsageError
from harness.host import git
from harness.plan import waves
from harness.plan.profiles import profile as profiles
from harness.store import stored_shapes
from harness.store.campaign_store import Campaign
from harness.variants import groups, variant_files
from harness.variants.variant_files import Variant


def request_of(
    name: str,
    *,
    servers_dir: Path,
    reports: Path,
    include_nonconforming: bool,
    keep_going: bool,
    added: int = 0,
) -> Request:
    """The request that the campaign `name` was started with, and `added` blocks.

    `campaign.json` has the profile, so its file may have changed or gone since.

    Raises:
        UsageError: there is no such campaign, it is damaged, or one of its servers is gone.
    """
    campaign = Campaign.open(reports, name)
    head = campaign.head()
    try:
        resumable = stored_shapes.Resumable.model_validate(head.as_json())
    except ValidationError as error:
        problem = stored_shapes.fault(error)
        raise UsageError(
            f"{campaign.name} cannot be resumed: its campaign.json lacks {problem}"
        ) from None
    campaign.cells(stored_shapes.WholeCell)
    campaign.outcomes(stored_shapes.WholeOutcome)
    profile_name, profile = profiles.of_campaign(head.profile, campaign.directory)
    names = [one.name for one in head.variants if not one.same_as]
    chosen = groups.pick(variant_files.survey(servers_dir), names)
    variant_files.require_contexts(chosen)
    kept = {entry.name: entry for entry in head.variants}
    chosen = [as_it_was(variant, kept[variant.name]) for variant in chosen]
    request = Request(
        profile_name=profile_name,
        profile=profile,
        variants=tuple(chosen),
        seed=resumable.seed,
        workers=resumable.workers,
        argv=tuple(head.argv),
        reports=campaign.directory.parent,
        cpus_allowed=frozenset(os.sched_getaffinity(0)),
        include_nonconforming=include_nonconforming,
        budget_s=head.budget_s,
        keep_going=keep_going,
    )
    planned = head.blocks
    found = waves.Waves.of_kept(head.waves)
    longer = replace(request, blocks=planned + added, waves=found)
    if added:
        growth.require_headline(campaign, longer, planned)
    return longer


def as_it_was(variant: Variant, entry: ServerEntry) -> Variant:
    """The variant without what builds added since its campaign noted `entry` of it.

    Unchanged where its files differ without that, too.

    Raises:
        FileProblems: a file cannot be read, or the context is too large.
    """
    outputs, digest = entry.outputs or (), entry.digest
    if digest is None or variant.digest(outputs) == digest:
        return variant
    added = variant.sources.compiled() | git.ignored(variant.sources.context)
    without = replace(variant, added=tuple(sorted(added)))
    return without if without.digest(outputs) == digest else variant


def require_same(campaign: Campaign, request: Request, backend: Backend) -> None:
    """Refuse to resume under another plan or on another host.

    Raises:
        UsageError: plan, sources or environment changed since the campaign began.
    """
    head = campaign.head()
    now = environment_now(request, backend)
    changed = environment.differences(head.environment, now)
    kept = {entry.name: entry for entry in head.variants}
    for variant in request.variants:
        entry = kept.get(variant.name)
        if entry is None:
            changed.append(f"the sources of {variant.name} changed")
            continue
        # A server that was never built has no figures, and its build may have been cut short
        was_built = entry.image is not None
        if was_built and variant.digest(entry.outputs or ()) != entry.digest:
            changed.append(f"the sources of {variant.name} changed")
    planned = [trial.id for trial in head.plan]
    if [trial.id for trial in request.trials][: len(planned)] != planned:
        changed.append("the plan changed")
    if changed:
        raise UsageError(
            f"{campaign.name} cannot be resumed: {'; '.join(changed)}",
            hint="Start a new campaign; the old one keeps its report.",
        )
