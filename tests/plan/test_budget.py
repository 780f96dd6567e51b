"""A time budget: what is read as one, and how many blocks fit into it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.process import ProcessBackend
from harness.campaign import campaign_run, launch, resuming
from harness.campaign.campaign_run import Request
from harness.contract.errors import UsageError
from harness.plan import budget, trial_plan
from harness.plan.budget import BLOCKS_MAX
from harness.plan.profiles import profile as profiles

ROOT = Path(__file__).resolve().parents[2]


def request(profile: str, servers: list[str], budget_s: float | None) -> Request:
    return launch.request_of(
        profile=profile,
        servers=servers,
        servers_dir=ROOT / "servers",
        seed=7,
        workers=0,
        reports=Path("reports"),
        argv=(),
        budget_s=budget_s,
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("3m", 180), ("1.5h", 5400), (" 2 m ", 120), ("0.5s", 0.5)]
)
def test_a_duration_has_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert budget.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "m", "3min", "-1m", "0m", "1h30m", "1e3s", "٣m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number with a unit"):
        budget.parse(text)


@given(st.floats(min_value=0.1, max_value=1e6))
def test_a_duration_is_shown_so_that_it_is_read_as_no_less(duration_s: float) -> None:
    read_s = budget.parse(budget.shown(duration_s))

    assert duration_s <= read_s * (1 + 1e-9)
    assert read_s <= duration_s + max(1.0, 0.51 * duration_s)


@given(
    st.floats(min_value=0, max_value=1e4),
    st.floats(min_value=1, max_value=1e3),
    st.integers(1, 5),
    st.floats(min_value=0, max_value=1e5),
)
def test_the_blocks_are_the_most_that_fit(
    fixed_s: float, each_s: float, least: int, spare_s: float
) -> None:
    def cost_s(blocks: int) -> float:
        return fixed_s + each_s * blocks

    budget_s = cost_s(least) + spare_s
    blocks = budget.blocks_within(budget_s, least, cost_s)

    assert least <= blocks <= BLOCKS_MAX
    assert cost_s(blocks) <= budget_s
    assert blocks == BLOCKS_MAX or cost_s(blocks + 1) > budget_s


def test_too_small_a_budget_says_the_least_that_is_needed() -> None:
    with pytest.raises(UsageError) as error:
        request("quick", ["poll", "epoll-lt"], 30)

    needed = error.value.hint.partition("--budget ")[2].partition("`")[0]
    assert f"take about {needed}" in error.value.message
    enough = request("quick", ["poll", "epoll-lt"], budget.parse(needed))
    assert 3 <= enough.profile.blocks_max == enough.profile.trials <= 4


def test_a_budget_chooses_fewer_and_more_blocks_than_the_profile_has() -> None:
    plain = request("standard", ["poll", "epoll-lt"], None)
    assert plain.blocks_planned == profiles.load("standard").trials == 8
    whole_s = launch.estimate_s(plain)
    fewer = request("standard", ["poll", "epoll-lt"], 0.8 * whole_s)
    more = request("standard", ["poll", "epoll-lt"], 2 * whole_s)

    assert 3 <= fewer.blocks_planned == fewer.profile.blocks_max < 8
    assert launch.estimate_s(fewer) <= 0.8 * whole_s
    assert max(trial.block for trial in fewer.trials) == fewer.blocks_planned
    # The first look stays where it is, and more of them fit
    assert more.blocks_planned == 8
    assert more.profile.blocks_max in range(12, 100, 4)
    assert launch.estimate_s(replace(more, blocks=more.profile.blocks_max)) <= 2 * whole_s


def test_a_scenario_in_some_of_the_blocks_is_in_no_more_than_a_budget_has() -> None:
    whole = request("quick", ["poll", "epoll-lt"], None)
    three = request("quick", ["poll", "epoll-lt"], 0.8 * launch.estimate_s(whole))

    assert three.blocks_planned < 8
    assert {use.blocks for use in three.profile.scenarios} == {None, 3}
    assert {use.blocks for use in whole.profile.of_blocks(2).scenarios} == {None, 2}


def test_a_profile_that_ranks_nothing_may_have_one_block() -> None:
    one = request("smoke", ["poll"], None)

    assert request("smoke", ["poll"], launch.estimate_s(one)).blocks_planned == 1


def test_a_profile_has_a_budget_of_its_own_which_a_flag_replaces(tmp_path: Path) -> None:
    text = (ROOT / "harness/plan/profiles/quick.toml").read_text("utf-8")
    path = tmp_path / "mine.toml"
    path.write_text("budget_s = 900\n" + text)

    own = request(str(path), ["poll"], None)
    assert own.budget_s == 900
    assert own.profile.blocks_max > 8
    less_s = 0.8 * launch.estimate_s(request("quick", ["poll"], None))
    assert request(str(path), ["poll"], less_s).profile.blocks_max < 8


def test_a_resumed_campaign_keeps_the_blocks_that_its_budget_chose(tmp_path: Path) -> None:
    begun = replace(request("quick", ["poll"], 600), reports=tmp_path)
    created = campaign_run.create(begun, ProcessBackend())

    resumed = resuming.request_of(
        created.name,
        servers_dir=ROOT / "servers",
        reports=tmp_path,
        include_nonconforming=False,
        keep_going=False,
    )

    assert begun.profile.blocks_max > 8
    assert resumed.profile == begun.profile
    assert resumed.trials == begun.trials
    assert resumed.budget_s == 600
    resuming.require_same(created, resumed, ProcessBackend())


def test_no_trial_is_repeated_that_the_budget_has_no_time_for() -> None:
    trials = trial_plan.make(profiles.load("quick"), ["poll", "epoll-lt"], 7)

    def may(left_s: float | None) -> bool:
        return trial_plan.may_repeat(trials, {}, 1, left_s=left_s, needed_s=60)

    assert [may(left_s) for left_s in (None, 600, 60, 59.9, 0, -5)] == [
        *(True, True, True),
        *(False, False, False),
    ]
    assert not trial_plan.may_repeat(trials, {1: 99}, 1, left_s=600, needed_s=60)
    assert not trial_plan.may_repeat(
        trials, {}, trial_plan.CALIBRATION_BLOCK, left_s=0, needed_s=60
    )


def test_a_dry_run_shows_blocks_budget_and_estimate() -> None:
    def dry_run(*more: str) -> str:
        arguments = ["run", "--dry-run", "--seed", "7", "--servers", "poll", *more]
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    told = json.loads(dry_run("--budget", "10m", "--json"))
    assert told["budget_s"] == 600
    assert told["blocks"] == max(trial["block"] for trial in told["trials"]) == 8
    assert told["blocks_max"] > 8
    assert told["estimate_s"] <= 600
    more = f"8 blocks, up to {told['blocks_max']} if"
    assert more in dry_run("--budget", "10m")
    assert "total: 8 blocks; 8 trials, " in dry_run()
