"""Profiles and plans: the same arguments give the same trials."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lines import cells

from harness.contract.errors import UsageError
from harness.contract.stored_cell import StoredCell
from harness.gates import calibration
from harness.plan import trial_plan
from harness.plan.capacity import Capacity
from harness.plan.profiles import profile as profiles

NAMES = ["poll", "select", "epoll-lt", "epoll-et"]


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_each_block_holds_every_variant_once(seed: int, trials: int) -> None:
    profile = profiles.load("quick").model_copy(update={"trials": trials})

    made = trial_plan.make(profile, NAMES, seed)

    assert len({trial.id for trial in made}) == len(made) == trials * len(NAMES)
    for block in range(trials):
        part = made[block * len(NAMES) : (block + 1) * len(NAMES)]
        assert {trial.variant for trial in part} == set(NAMES)
        assert {trial.block for trial in part} == {block + 1}
    assert made == trial_plan.make(profile, NAMES, seed)


def test_the_order_differs_between_blocks_and_between_seeds() -> None:
    profile = profiles.load("quick").model_copy(update={"trials": 20})

    orders = {
        tuple(trial.variant for trial in made[start : start + len(NAMES)])
        for seed in range(3)
        for made in [trial_plan.make(profile, NAMES, seed)]
        for start in range(0, len(made), len(NAMES))
    }

    assert len(orders) > 12


def test_cells_that_share_their_connections_share_a_step_and_the_opening_comes_first() -> None:
    steps = trial_plan.steps_of(profiles.load("quick"))

    assert [step.connections for step in steps] == [100, 1000, 10_000]
    for step in steps[1:]:
        ramp, idle, active = step.cells[:3]
        assert [cell.scenario for cell in step.cells[:3]] == ["ramp", "idle", "active"]
        assert ramp.active == 0
        assert ramp.window_s == 0
        assert idle.active == 100
        assert active.active == step.connections


def test_each_list_of_a_scenario_makes_cells_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
summary = "Everything that can be listed."
trials = 1
timing = { warmup_s = 0.1, window_s = 0.2 }

[[scenarios]]
name = "payload"
connections = [100, 200]
payload_bytes = [64, 4096]

[[scenarios]]
name = "paced"
connections = [200]
rate_per_s = [1000, 2500.5]
"""
    )

    (first, second) = trial_plan.steps_of(profiles.load(str(path)))

    assert [cell.payload_bytes for cell in first.cells] == [64, 4096]
    assert [(cell.scenario, cell.active, cell.rate_per_s) for cell in second.cells] == [
        ("payload", 100, None),
        ("payload", 100, None),
        ("paced", 200, 1000.0),
        ("paced", 200, 2500.5),
    ]


SOME_BLOCKS = """
summary = "The headline in all blocks, the rest in some."
trials = 8
timing = { warmup_s = 0.1, window_s = 0.2 }

[[scenarios]]
name = "idle"
connections = [200]

[[scenarios]]
name = "active"
connections = [100]
blocks = BLOCKS
"""


def test_a_scenario_may_be_measured_in_some_of_the_blocks_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SOME_BLOCKS.replace("BLOCKS", "3"))
    profile = profiles.load(str(path))

    made = trial_plan.make(profile, NAMES, 1)

    having = {trial.block for trial in made if "active" in {cell.scenario for cell in trial.cells}}
    assert having == {1, 4, 7}
    assert all("idle" in {cell.scenario for cell in trial.cells} for trial in made)


@given(st.integers(1, 20), st.integers(1, 20))
def test_some_of_the_blocks_are_as_many_as_asked_at_even_distances(trials: int, part: int) -> None:
    part = min(part, trials)
    use = profiles.ScenarioUse(name="idle", connections=(100,), blocks=part)

    having = [block for block in range(1, 40) if trial_plan.is_in_block(use, trials, block)]

    assert len(having) == part
    assert having[0] == 1
    assert having[-1] <= trials
    gaps = {after - before for before, after in itertools.pairwise([*having, trials + 1])}
    assert max(gaps) - min(gaps) <= 1


def test_a_plan_of_more_blocks_begins_with_one_of_fewer(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SOME_BLOCKS.replace("BLOCKS", "8"))
    profile = profiles.load(str(path))

    more = trial_plan.make(profile, NAMES, 1, 12)

    assert more[: 8 * len(NAMES)] == trial_plan.make(profile, NAMES, 1)
    assert {trial.block for trial in more} == set(range(1, 13))
    late = {cell.scenario for trial in more if trial.block > 8 for cell in trial.cells}
    assert late == {"idle"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (SOME_BLOCKS.replace("BLOCKS", "9"), "at most `trials` = 8 `blocks`, got 9"),
        (
            SOME_BLOCKS.replace("BLOCKS", "3").replace("[200]", "[200]\nblocks = 2"),
            "a scenario without `blocks`",
        ),
    ],
)
def test_blocks_that_a_profile_does_not_have_are_refused(
    tmp_path: Path, text: str, what: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(UsageError, match=what):
        profiles.load(str(path))


def test_churn_comes_after_everything_in_steps_of_its_own() -> None:
    standard = profiles.load("standard")

    steps = trial_plan.steps_of(standard)

    assert [step.connections for step in steps] == [100, 500, 1000, 2000, 5000, 10_000, 100]
    *others, last = steps
    assert {cell.scenario for cell in last.cells} == {"churn"}
    assert "churn" not in {cell.scenario for step in others for cell in step.cells}


SHARES = """
summary = "Rates of one's own."
trials = 2
same_twice = "poll"
timing = { warmup_s = 0.1, window_s = 0.2 }

[[scenarios]]
name = "ramp"
connections = [100, 200]

[[scenarios]]
name = "paced"
connections = [200]
rate_per_s = [500]
rate_share = [0.3, 0.9]
"""


def shares(tmp_path: Path) -> profiles.Profile:
    path = tmp_path / "mine.toml"
    path.write_text(SHARES)
    return profiles.load(str(path))


def capacity(connections: int, echoes_per_s: float) -> Capacity:
    return Capacity(connections, 64, 1, echoes_per_s, False, echoes_per_s, 1.0)


def test_shares_of_a_capacity_are_measured_after_it_in_blocks_of_their_own(tmp_path: Path) -> None:
    made = trial_plan.make(shares(tmp_path), ["select", "poll"], 1)

    assert [(trial.id, trial.block) for trial in made[:2]] == [("0-select", 0), ("0-poll", 0)]
    (cell,) = made[0].cells
    assert (cell.scenario, cell.connections, cell.active) == ("calibration", 200, 200)
    assert cell.rate_per_s is None
    assert {trial.block for trial in made[2:]} == {1, 2}
    assert all(trial.block == 0 for trial in made if trial.cells == made[0].cells)


def test_a_variant_that_runs_twice_is_calibrated_once_and_planned_in_each_block(
    tmp_path: Path,
) -> None:
    made = trial_plan.make(shares(tmp_path), ["select", "poll"], 1)

    for block in (1, 2):
        names = {trial.variant for trial in made if trial.block == block}
        assert names == {"select", "poll", "poll.again"}
    assert trial_plan.program_of("poll.again") == "poll"
    alone = trial_plan.make(shares(tmp_path), ["select"], 1)
    assert {trial.variant for trial in alone} == {"select"}


def test_a_share_becomes_a_rate_of_three_digits_and_the_common_rate_stays(tmp_path: Path) -> None:
    made = trial_plan.make(shares(tmp_path), ["poll"], 1)
    known = {"poll": [capacity(100, 1.0), capacity(200, 123_456.0)]}

    for trial in made[1:]:
        cells = trial_plan.resolve(trial, known).cells
        assert [(cell.rate_share, cell.rate_per_s) for cell in cells if cell.rate_per_s] == [
            (None, 500.0),
            (0.3, 37_000.0),
            (0.9, 111_000.0),
        ]


def test_a_share_of_an_unknown_capacity_is_left_out_and_the_others_keep_their_places(
    tmp_path: Path,
) -> None:
    trial = trial_plan.make(shares(tmp_path), ["poll"], 1)[-1]

    resolved = trial_plan.resolve(trial, {"poll": [capacity(100, 5.0)]})

    assert [cell.scenario for cell in trial.cells] == ["ramp", "ramp", "paced", "paced", "paced"]
    assert [cell.rate_share for cell in resolved.cells] == [None] * 3
    assert [resolved.number(position) for position in range(3)] == [0, 1, 2]


def test_a_part_of_a_trial_holds_the_wanted_cells_under_their_numbers(tmp_path: Path) -> None:
    trial = trial_plan.make(shares(tmp_path), ["poll"], 1)[-1]

    some = trial_plan.part(trial, {1, 4})
    one = trial_plan.part(some, {4})

    assert [step.connections for step in some.steps] == [200]
    assert [(some.number(i), cell) for i, cell in enumerate(some.cells)] == [
        (1, trial.cells[1]),
        (4, trial.cells[4]),
    ]
    assert (one.number(0), one.cells) == (4, (trial.cells[4],))


def test_at_most_a_third_of_the_trials_is_spent_again_and_each_block_has_its_share(
    tmp_path: Path,
) -> None:
    trials = trial_plan.make(profiles.load("quick"), NAMES, 1, blocks=3)

    assert len(trials) == 12
    left = [trial_plan.may_repeat(trials, {1: done}, 3) for done in (0, 3, 4, 9)]
    assert left == [True, True, False, False]
    for block, share in ((1, 2), (2, 3), (3, 4)):
        assert trial_plan.may_repeat(trials, {1: share - 1}, block)
        assert not trial_plan.may_repeat(trials, {1: share - 1, 2: 1}, block)
    # Four that run side by side are measured again together or not at all
    assert [trial_plan.may_repeat(trials, {}, block, together=4) for block in (1, 2, 3)] == [
        *(False, False, True)
    ]
    # Calibrations neither have a share nor use up one
    calibrated = trial_plan.make(shares(tmp_path), NAMES, 1)
    assert calibrated[0].block == trial_plan.CALIBRATION_BLOCK
    assert trial_plan.may_repeat(calibrated, {0: 99, 1: 99}, trial_plan.CALIBRATION_BLOCK)
    blocks = [trial.block for trial in calibrated if trial.block != trial_plan.CALIBRATION_BLOCK]
    budget = len(blocks) // 3
    assert trial_plan.may_repeat(calibrated, {0: 99, 1: budget - 1}, max(blocks))
    assert not trial_plan.may_repeat(calibrated, {0: 99, 1: budget}, max(blocks))


@pytest.mark.parametrize(
    ("cpu_busy", "echoes_per_s", "extrapolated"), [(0.95, 950.0, False), (0.5, 1_900.0, True)]
)
def test_a_capacity_is_extrapolated_where_the_server_was_not_full(
    cpu_busy: float, echoes_per_s: float, extrapolated: bool
) -> None:
    record = {"status": "noisy", "echoes_per_s": 950.0, "server": {"cpu_busy": cpu_busy}}
    record |= {"connections_requested": 10, "payload_bytes": 64, "depth": 1}

    found = calibration.of_cell(StoredCell.of(record))

    assert found == Capacity(10, 64, 1, echoes_per_s, extrapolated, 950.0, cpu_busy)
    assert calibration.of_cell(StoredCell.of(record | {"status": "void"})) is None


def test_of_several_looks_at_a_capacity_the_last_with_a_figure_counts() -> None:
    def look(attempt: int, status: str, echoes_per_s: float, cell: int = 0) -> dict[str, Any]:
        return {
            **{"scenario": "calibration", "variant": "poll", "cell": cell, "attempt": attempt},
            **{"status": status, "echoes_per_s": echoes_per_s, "server": {"cpu_busy": 1.0}},
            **{"connections_requested": 100 + cell, "payload_bytes": 64, "depth": 1},
        }

    looks = [look(3, "void", 7.0), look(1, "valid", 5.0), look(2, "noisy", 6.0)]
    other = look(1, "valid", 9.0, cell=1)
    idle = look(4, "valid", 8.0) | {"scenario": "idle"}

    found = calibration.of_cells(cells([*looks, idle, other]))

    assert [one.echoes_per_s for one in found["poll"]] == [6.0, 9.0]
    assert calibration.of_cells(cells([look(1, "void", 7.0)])) == {}
