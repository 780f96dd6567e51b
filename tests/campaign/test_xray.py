"""Which variants are x-rayed, and that their cells are stored together."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from harness.campaign import xray_trials
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import Interrupted
from harness.host import cpus
from harness.host.interrupt import watched
from harness.plan.profiles import profile as profiles
from harness.store.campaign_store import Campaign

PROFILE = profiles.load("quick").model_copy(update={"xray": True})
NAMES = ["epoll-lt", "poll"]


def cells() -> int:
    (trial, _) = xray_trials.trials(PROFILE, NAMES, 7)
    return len(trial.cells)


def test_a_variant_is_x_rayed_again_as_long_as_a_cell_of_it_is_missing() -> None:
    assert cells() > 1
    stored = [{"variant": "epoll-lt", "cell": index} for index in range(cells())]
    stored += [{"variant": "poll", "cell": index} for index in range(cells() - 1)]

    missing = xray_trials.missing(xray_trials.trials(PROFILE, NAMES, 7), stored)

    assert [trial.variant for trial in missing] == ["poll"]
    assert not xray_trials.missing(missing, [*stored, {"variant": "poll", "cell": cells() - 1}])


def test_the_terminal_names_the_tool_or_the_reason_once() -> None:
    counted = {"tool": "perf", "reason": None}
    refused = {"tool": None, "reason": "1,101 tasks"}

    assert xray_trials.outcomes([counted, counted]) == "counted by perf"
    assert xray_trials.outcomes([counted, refused]) == "counted by perf; n/a, 1,101 tasks"


class Interrupting(Campaign):
    """A campaign that is stopped while the first cell is stored."""

    def append_xray(self, record: dict[str, Any]) -> None:
        super().append_xray(record)
        if len(self.xrays()) == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_does_not_part_the_cells_of_a_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xray_trials, "TrialRun", Mock())
    monkeypatch.setattr(xray_trials, "in_turns", lambda runs: [SimpleNamespace(text="no tracer")])
    campaign = Interrupting.create(tmp_path, "mine", CampaignHead())
    request: Any = SimpleNamespace(
        profile=PROFILE, seed=7, split=cpus.CpuSplit(server=(1,), load=(0,)), workers=1
    )
    prepared: Any = dict.fromkeys(NAMES)
    nothing: Any = Mock()

    with pytest.raises(Interrupted), watched():
        xray_trials.run(campaign, request, nothing, nothing, prepared)

    assert [line["variant"] for line in campaign.xrays()] == ["epoll-lt"] * cells()
    assert {line["reason"] for line in campaign.xrays()} == {"no tracer"}
