"""A resume measures the shares of a capacity that was not known in time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.campaign.schedule import Rounds
from harness.contract.campaign_head import CampaignHead
from harness.plan import trial_plan
from harness.plan.profiles import profile as profiles
from harness.store.campaign_store import Campaign

PROFILE = """
summary = "Rates of one's own."
trials = 2
repeats_max = 1
timing = { warmup_s = 0.1, window_s = 0.2 }

[[scenarios]]
name = "paced"
connections = [20]
rate_per_s = [500]
rate_share = [0.3, 0.9]
"""
CAPACITY = {
    "scenario": "calibration",
    "status": "valid",
    "connections_requested": 20,
    "payload_bytes": 64,
    "depth": 1,
    "echoes_per_s": 1000.0,
    "server": {"cpu_busy": 1.0},
}


class Store:
    """A campaign of one server, with what a test says was measured."""

    def __init__(self, directory: Path) -> None:
        path = directory / "mine.toml"
        path.write_text(PROFILE)
        profile = profiles.load(str(path))
        self.trials = trial_plan.make(profile, ["poll"], 1)
        self.campaign = Campaign.create(directory, "one", CampaignHead.of({}))
        request = SimpleNamespace(
            profile=profile, trials=self.trials, budget_s=None, blocks_planned=profile.trials
        )
        nothing = cast("Any", None)
        self.rounds = Rounds(self.campaign, cast("Any", request), nothing, nothing)

    def cell(self, trial: trial_plan.Trial, number: int, **facts: Any) -> None:
        place = {"trial": trial.id, "variant": "poll", "cell": number, "attempt": 1}
        fact = {"scenario": "paced", "status": "valid"} | facts
        self.campaign.append_cell(place | fact)

    def end(self, trial: trial_plan.Trial, code: str = "", repeats: Sequence[int] = ()) -> None:
        place = {"trial": trial.id, "block": trial.block, "attempt": 2 if repeats else 1}
        end = {"outcome": "failed" if code else "done", "code": code, "repeats": list(repeats)}
        self.campaign.append_outcome(place | end)

    def missing(self) -> list[str]:
        return [trial.id for trial in self.rounds.missing()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Block 0 is to come; block 1 ended without its shares, block 2 with all cells."""
    made = Store(tmp_path)
    _, first, second = made.trials
    made.cell(first, 0)
    for number in range(3):
        made.cell(second, number)
    made.end(first)
    made.end(second)
    return made


def test_a_trial_without_its_shares_is_missing_while_the_capacity_may_come(store: Store) -> None:
    assert store.missing() == ["0-poll", "1-poll"]


def test_a_trial_without_its_shares_is_missing_once_the_capacity_is_known(store: Store) -> None:
    store.cell(store.trials[0], 0, **CAPACITY)
    store.end(store.trials[0])

    assert store.missing() == ["1-poll"]


def test_a_trial_is_not_missing_where_there_will_be_no_capacity(store: Store) -> None:
    store.end(store.trials[0], "server-died")

    assert store.missing() == []


def test_a_capacity_that_is_void_is_missing_until_it_was_measured_again(store: Store) -> None:
    store.cell(store.trials[0], 0, **CAPACITY | {"status": "void"})
    store.end(store.trials[0])
    assert store.missing() == ["0-poll", "1-poll"]

    store.cell(store.trials[0], 0, **CAPACITY | {"attempt": 2})
    store.end(store.trials[0], repeats=[0])
    assert store.missing() == ["1-poll"]


def test_a_capacity_is_that_of_the_last_attempt_with_a_figure(store: Store) -> None:
    store.cell(store.trials[0], 0, **CAPACITY | {"status": "noisy"})
    store.end(store.trials[0])
    store.cell(store.trials[0], 0, **CAPACITY | {"status": "void", "attempt": 2})
    store.end(store.trials[0], repeats=[0])

    assert store.missing() == ["1-poll"]
