"""Whether a campaign may go on, where builds of its servers wrote beside the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.backends.process import ProcessBackend
from harness.campaign import campaign_run as campaigns
from harness.campaign import launch, resuming, server_entries
from harness.campaign.campaign_run import Request
from harness.contract.errors import UsageError
from harness.store.campaign_store import Campaign

PROFILE = """
summary = "One."
trials = 1
timing = { warmup_s = 0.1, window_s = 0.2 }

[[scenarios]]
name = "idle"
connections = [10]
"""
VARIANT = """
title = "mine"
architecture = "poll"
language = "C"
summary = "One."

[process]
build = ["sh", "-c", "mkdir -p objects; cp source objects/server.o; cp source server"]
command = ["./server"]
"""


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Campaign, Request, ProcessBackend]:
    """A campaign before its first build."""
    mine = tmp_path / "servers" / "mine"
    mine.mkdir(parents=True)
    (mine / "variant.toml").write_text(VARIANT)
    (mine / "Dockerfile").write_text("FROM scratch\n")
    (mine / "source").write_text("#!/bin/sh\n")
    (mine / "source").chmod(0o755)
    (tmp_path / "mine.toml").write_text(PROFILE)
    request = launch.request_of(
        profile=str(tmp_path / "mine.toml"),
        servers=["mine"],
        servers_dir=mine.parent,
        seed=7,
        workers=0,
        reports=tmp_path / "reports",
        argv=(),
    )
    backend = ProcessBackend()
    return campaigns.create(request, backend), request, backend


def built(campaign: Campaign, request: Request, backend: ProcessBackend) -> None:
    """Build the server, as a campaign does before its first trial."""
    prepared = {one.name: backend.prepare(one, 60) for one in request.variants}
    head = campaign.head()
    entries = server_entries.prepare(head.variants, request, prepared)
    campaign.write_head(head.changed(variants=entries))


def test_what_its_build_wrote_changes_no_server(
    begun: tuple[Campaign, Request, ProcessBackend],
) -> None:
    campaign, request, backend = begun
    built(campaign, request, backend)

    (entry,) = campaign.head().variants
    assert entry.outputs == ["objects", "server"]
    resuming.require_same(campaign, request, backend)
    built(campaign, request, backend)
    resuming.require_same(campaign, request, backend)


def test_a_source_that_changed_after_the_build_ends_the_campaign(
    begun: tuple[Campaign, Request, ProcessBackend],
) -> None:
    campaign, request, backend = begun
    source = request.variants[0].directory / "source"
    source.write_text("#!/bin/sh\n# before anything was built, and so before it was measured\n")
    resuming.require_same(campaign, request, backend)

    built(campaign, request, backend)
    source.write_text("#!/bin/sh\n# another server\n")

    with pytest.raises(UsageError, match="the sources of mine changed"):
        resuming.require_same(campaign, request, backend)
