"""Go on with a campaign: the request that it was started with, and whether it still holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.backends.base import Backend
from harness.campaign import environment, growth
from harness.campaign.campaign_run import Request, environment_now
from harness.contract.errors import UsageError
from harness.host import git
from harness.plan import trial_plan, waves
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
    if (problem := stored_shapes.problem(head, stored_shapes.Resumable)) is not None:
        raise UsageError(f"{campaign.name} cannot be resumed: its campaign.json lacks {problem}")
    campaign.cells(stored_shapes.WholeCell)
    campaign.outcomes(stored_shapes.WholeOutcome)
    profile_name, profile = profiles.of_campaign(head["profile"], campaign.directory)
    names = [one["name"] for one in head["variants"] if not one.get("same_as")]
    chosen = groups.pick(variant_files.survey(servers_dir), names)
    variant_files.require_contexts(chosen)
    kept = {entry["name"]: entry for entry in head["variants"]}
    chosen = [as_it_was(variant, kept[variant.name]) for variant in chosen]
    request = Request(
        profile_name=profile_name,
        profile=profile,
        variants=tuple(chosen),
        seed=head["seed"],
        workers=head["workers"],
        argv=tuple(head["argv"]),
        reports=campaign.directory.parent,
        cpus_allowed=frozenset(os.sched_getaffinity(0)),
        include_nonconforming=include_nonconforming,
        budget_s=head.get("budget_s"),
        keep_going=keep_going,
    )
    planned = trial_plan.blocks_of(head["plan"])
    found = waves.Waves.of_campaign(head)
    longer = replace(request, blocks=planned + added, waves=found)
    if added:
        growth.require_headline(campaign, longer, planned)
    return longer


def as_it_was(variant: Variant, entry: Mapping[str, Any]) -> Variant:
    """The variant without what builds added since its campaign noted `entry` of it.

    Unchanged where its files differ without that, too.

    Raises:
        FileProblems: a file cannot be read, or the context is too large.
    """
    outputs, digest = entry.get("outputs") or (), entry.get("digest")
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
    changed = environment.differences(head["environment"], now)
    kept = {entry["name"]: entry for entry in head["variants"]}
    for variant in request.variants:
        entry = kept.get(variant.name, {})
        # A server that was never built has no figures, and its build may have been cut short
        was_built = not entry or entry.get("image") is not None
        if was_built and variant.digest(entry.get("outputs") or ()) != entry.get("digest"):
            changed.append(f"the sources of {variant.name} changed")
    planned = [trial["id"] for trial in head["plan"]]
    if [trial.id for trial in request.trials][: len(planned)] != planned:
        changed.append("the plan changed")
    if changed:
        raise UsageError(
            f"{campaign.name} cannot be resumed: {'; '.join(changed)}",
            hint="Start a new campaign; the old one keeps its report.",
        )
