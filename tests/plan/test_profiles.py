"""Profiles: those that ship keep their promises, and a wrong one says what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.contract.errors import UsageError
from harness.plan import trial_plan
from harness.plan.profiles import profile as profiles

NAMES = ["poll", "select", "epoll-lt", "epoll-et"]

SIX = ("thread-per-connection", "select", "select-fdset", "poll", "epoll-lt", "epoll-et")


@pytest.mark.parametrize(("name", "minutes"), [("smoke", 1.5), ("quick", 5), ("standard", 45)])
def test_a_profile_keeps_to_its_time_with_the_six_of_c(name: str, minutes: float) -> None:
    profile = profiles.load(name)
    made = trial_plan.make(profile, SIX, 1)

    assert trial_plan.estimate_s(made) <= minutes * 60


@pytest.mark.parametrize(("name", "trials"), [("standard", 8), ("full", 10)])
def test_a_profile_to_believe_measures_the_headline_and_one_server_twice(
    name: str, trials: int
) -> None:
    profile = profiles.load(name)
    made = trial_plan.make(profile, profile.servers, 1)

    assert set(profile.servers) == set(SIX)
    assert profile.trials == trials
    assert trial_plan.again("epoll-lt") in {trial.variant for trial in made}
    cells = {cell.scenario: cell for cell in made[-1].cells}
    assert (cells["idle"].connections, cells["idle"].active) == (10_000, 100)
    shares = {cell.rate_share for trial in made for cell in trial.cells if cell.rate_share}
    assert shares == {0.3, 0.6, 0.8, 0.9}


@pytest.mark.parametrize("name", ["standard", "full"])
def test_a_profile_to_believe_runs_side_by_side_in_turns_longer_than_a_round_trip(
    name: str,
) -> None:
    profile = profiles.load(name)
    made = trial_plan.make(profile, SIX, 1)
    cells = [cell for trial in made for cell in trial.cells if cell.window_s]
    turn_s = {
        (cell.scenario, cell.connections): cell.window_s / cell.turns
        for cell in cells
        if cell.payload_bytes == profile.traffic.payload_bytes
    }

    assert profile.side_by_side
    # poll's scan of 10,000 takes 5 ms, and twice that on a slow host: 4 % of the turn
    assert 0.25 <= turn_s["idle", 10_000] <= 0.5
    # What a connection has under way takes up to 50 us of a CPU here, and 10 us for each 16 KiB:
    # all of it is 5 % of a turn at most (`TURN_EDGES_MAX`)
    for cell in (cell for cell in cells if cell.turns > 1):
        sent_bytes = cell.payload_bytes * cell.depth
        round_trip_s = cell.active * (50e-6 + 10e-6 * sent_bytes / 16_384)
        assert round_trip_s <= 0.05 * cell.window_s / cell.turns, cell
    # No turn is long enough for the round trip of all of 10,000
    assert turn_s["active", 10_000] == profile.timing.window_s


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile_is_valid(name: str) -> None:
    loaded = profiles.load(name)

    assert trial_plan.make(loaded, NAMES, 1)


def test_a_plain_run_spends_its_blocks_where_the_ranking_is_decided() -> None:
    quick = profiles.load("quick")

    made = trial_plan.make(quick, quick.servers, seed=1)

    assert quick.servers == SIX
    assert quick.side_by_side
    in_blocks = Counter(
        (cell.scenario, cell.connections, cell.active)
        for trial in made
        if trial.variant == "poll"
        for cell in trial.cells
    )
    headline, contrast = ("idle", 10_000, 100), ("idle", 100, 100)
    assert in_blocks.pop(headline) == in_blocks.pop(contrast) == quick.trials >= 8
    assert set(in_blocks.values()) == {3}


IN_TURNS = """
summary = "Side by side."
trials = 2
same_twice = "poll"
side_by_side = {side_by_side}
timing = {{ warmup_s = 0.1, window_s = 1.0 }}

[[scenarios]]
name = "paced"
connections = [20]
rate_share = [0.5]

[[scenarios]]
name = "{name}"
connections = [10]
turns = {turns}
"""


def test_trials_that_run_side_by_side_are_those_of_a_block(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(IN_TURNS.format(side_by_side="true", name="idle", turns=10))
    profile = profiles.load(str(path))
    made = trial_plan.make(profile, ["select", "poll"], 1)

    groups = trial_plan.together(made, side_by_side=True)

    names = [{trial.variant for trial in group} for group in groups]
    # A capacity is that of a server with nobody beside it
    assert names == [{"select"}, {"poll"}, *([{"select", "poll", "poll.again"}] * 2)]
    assert [trial for group in groups for trial in group] == made
    assert trial_plan.together(made, side_by_side=False) == [[trial] for trial in made]
    turns = {(cell.scenario, cell.turns) for trial in made for cell in trial.cells}
    assert turns == {("calibration", 1), ("idle", 10), ("paced", 1)}


def test_a_scenario_may_have_windows_of_its_own_length(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = IN_TURNS.format(side_by_side="true", name="idle", turns=50)
    path.write_text(text.replace("turns = 50", "turns = 50\nwindow_s = 2.5"))

    made = trial_plan.make(profiles.load(str(path)), ["select"], 1)

    windows = {(cell.scenario, cell.window_s) for trial in made for cell in trial.cells}
    assert windows == {("calibration", 1.0), ("idle", 2.5), ("paced", 1.0)}
    path.write_text(text)
    with pytest.raises(UsageError, match=r"a window of 1 s are 0\.02 s each"):
        profiles.load(str(path))


TWICE = """
summary = "Depths."
trials = 2
timing = {{ warmup_s = 0.1, window_s = 0.2 }}

[[scenarios]]
name = "depth"
connections = [10, 20]
depth = [1, 8]

[[scenarios]]
name = "depth"
connections = [20]
depth = [{depth}]
"""


def test_a_scenario_may_be_listed_again_with_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TWICE.format(depth="2, 4"))

    cells = trial_plan.make(profiles.load(str(path)), ["poll"], 1)[0].cells

    assert len({(cell.connections, cell.depth) for cell in cells}) == len(cells) == 6


TIMING = "timing = { warmup_s = 0.1, window_s = 0.2 }\n"


def one_cell(scenario: str, more: str = "") -> str:
    """A profile, but for its beginning, of one scenario at ten connections."""
    head = f'summary = "One."\ntrials = 1\n{TIMING}'
    return f'{head}[[scenarios]]\nname = "{scenario}"\nconnections = [10]\n{more}\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            one_cell("idel"),
            "C112 `scenarios.0.name`: no scenario `idel`; did you mean `idle`? (known: ramp, idle, "
            "active, paced, churn, payload, depth)",
        ),
        (
            one_cell("idle", "turns = 0"),
            "C112 `scenarios.0.turns`: expected at least 1 and at most 100, got 0",
        ),
        (
            one_cell("idle").replace("[10]", "10"),
            "C112 `scenarios.0.connections`: expected a list, as [10]; got 10",
        ),
        (
            one_cell("paced", "rate_per_s = [0]"),
            "C112 `scenarios.0.rate_per_s.0`: expected at least 1 and at most 10,000,000, got 0",
        ),
    ],
)
def test_one_mistake_inside_a_scenario_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(UsageError) as raised:
        profiles.load(str(path))

    assert raised.value.message == f"{path}: {problem}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "`timing` is missing"),
        ('[[scenarios]]\nname = "idel"\nconnections = [1]\n', "did you mean `idle`"),
        ('[[scenarios]]\nname = "idle"\nconnections = [0]\n', "1 to 1,000,000"),
        ('[[scenarios]]\nname = "paced"\nconnections = [1]\n', "needs `rate_per_s`"),
        (
            '[[scenarios]]\nname = "idle"\nconnections = [1]\nrate_per_s = [5]\n',
            "takes no `rate_per_s`",
        ),
        ('[[scenarios]]\nname = "ramp"\nconnections = [5, 5]\n', "each number"),
        ('[[scenarios]]\nname = "ramp"\nconnections = [5]\ndepth = [2]\n', "sends nothing"),
        ('[[scenarios]]\nname = "calibration"\nconnections = [5]\n', "no scenario"),
        (
            '[[scenarios]]\nname = "idle"\nconnections = [1]\nrate_share = [0.5]\n',
            "takes no `rate_share`",
        ),
        ("[timing]\nwarmup_s = inf\nwindow_s = 1\n", "finite"),
        ('[[scenarios]]\nname = "depth"\nconnections = [1]\ndepth = [65]\n', "depth"),
        ("trial = 3\n", "did you mean `trials`"),
        (IN_TURNS.format(side_by_side="false", name="idle", turns=2), "`side_by_side = true`"),
        (IN_TURNS.format(side_by_side="true", name="ramp", turns=2), "takes no `turns`"),
        (IN_TURNS.format(side_by_side="true", name="churn", turns=10), "takes no `turns`"),
        (
            IN_TURNS.format(side_by_side="true", name="paced", turns="10\nrate_per_s = [5]"),
            "takes no `turns`",
        ),
        (IN_TURNS.format(side_by_side="true", name="idle", turns=11), "got 11"),
        (IN_TURNS.format(side_by_side="true", name="idle", turns=4), "got 4"),
        (IN_TURNS.format(side_by_side="true", name="idle", turns=50), "at least 0.05 s"),
        ("[timing]\nwarmup_s = 0\nwindow_s = 1\n", "timing.warmup_s"),
        (TWICE.format(depth="4, 8"), "`depth` is listed twice, with the same settings"),
        (TWICE.format(depth="4, 4"), "at the same `connections`: 20"),
        # 100 of them talk where a profile names no number
        (TWICE.format(depth="8").replace("= [20]", "= [20]\nactive = 20"), "`connections`: 20"),
        # The bounds of each number, and what else was accepted and did nothing or too much
        (
            f"{TIMING}[timeouts]\nready_s = 1e300\n",
            "`timeouts.ready_s`: expected at least 0.01 and",
        ),
        (f"{TIMING}[timeouts]\nbuild_s = 1e300\n", "at most 86,400, got 1e+300"),
        (
            "[timing]\nwarmup_s = 1e-300\nwindow_s = 1\n",
            "`timing.warmup_s`: expected at least 0.001",
        ),
        (
            one_cell("paced", "rate_per_s = [1e300]"),
            "`scenarios.0.rate_per_s.0`: expected at least 1",
        ),
        (one_cell("paced", "rate_per_s = [1e-300]"), "and at most 10,000,000, got 1e-300"),
        (one_cell("paced", "rate_share = [1e-300]"), "expected at least 0.001 and at most 2"),
        (
            one_cell("idle", "active = 11"),
            "`active` from 1 to 10, the fewest `connections`, got 11",
        ),
        (one_cell("active", "active = 5"), "takes no `active`: all of its connections send"),
        (one_cell("idle", f"payload_bytes = {list(range(1, 2_000))}"), "at most 1,000 cells"),
        (f'same_twice = "pol"\nservers = ["poll"]\n{one_cell("idle")}', "did you mean `poll`"),
        (f"budget_s = 1e300\n{one_cell('idle')}", "`budget_s`: expected more than 0 and at most"),
        (
            f"server_cpus = 100000\n{one_cell('idle')}",
            "`server_cpus`: expected at least 1 and at most",
        ),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(UsageError) as raised:
        profiles.load(str(path))

    assert words in raised.value.message


def test_an_unknown_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"did you mean `quick`.*smoke"):
        profiles.load("qick")
