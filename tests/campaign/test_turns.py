"""Which of several trials under way has the next turn, and what is measured again of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.backends.base import TrialContext
from harness.campaign import launch, schedule
from harness.campaign.campaign_run import Request
from harness.campaign.schedule import Rounds
from harness.campaign.trial_run import Outcome, in_turns
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import HostNotFit, UsageError
from harness.plan import trial_plan
from harness.plan.profiles import profile as profiles
from harness.store.campaign_store import Campaign

Run = Generator[int, None, Outcome]

ROOT = Path(__file__).parents[2]
DONE = Outcome(outcome="done")
DISTURBED = Outcome(outcome="failed", code="disturbed", text="others had its CPU")


def trial(name: str, cells: Sequence[int], log: list[str], fault: Exception | None = None) -> Run:
    """A trial that has its turns in these cells."""
    try:
        for cell in cells:
            yield cell
            log.append(f"{name}{cell}")
        if fault:
            raise fault
        return Outcome(outcome=name)
    finally:
        log.append(f"{name} closed")


def test_turns_go_round() -> None:
    log: list[str] = []

    outcomes = in_turns([trial("a", [0, 0, 0], log), trial("b", [0, 0, 0], log)])

    assert log[:5] == ["a0", "b0", "a0", "b0", "a0"]
    assert [outcome.outcome for outcome in outcomes] == ["a", "b"]


def test_who_has_fewer_cells_waits_for_the_others_at_the_next_one() -> None:
    """As a server does that holds fewer connections, and whose churn would be in their idle."""
    log: list[str] = []

    in_turns([trial("a", [1, 1, 2, 4], log), trial("b", [1, 4], log), trial("c", [1, 2, 4], log)])

    assert [entry for entry in log if "closed" not in entry] == [
        *("a1", "b1", "c1"),
        "a1",
        *("a2", "c2"),
        *("a4", "b4", "c4"),
    ]


def test_what_ends_one_trial_with_an_error_closes_all() -> None:
    log: list[str] = []
    runs = [
        trial("a", [0, 1], log),
        trial("b", [0], log, HostNotFit("too few")),
        trial("c", [0, 1], log),
    ]

    with pytest.raises(HostNotFit):
        in_turns(runs)

    assert {entry for entry in log if "closed" in entry} == {"a closed", "b closed", "c closed"}


PROFILE = """
summary = "Rates of one's own, side by side."
trials = 3
repeats_max = 1
side_by_side = true
timing = { warmup_s = 0.1, window_s = 1.0 }

[[scenarios]]
name = "idle"
connections = [20]
turns = 10

[[scenarios]]
name = "paced"
connections = [20]
rate_share = [0.5]
"""
CAPACITY = {
    **{"trial": "0-poll", "variant": "poll", "cell": 0, "attempt": 1, "block": 0},
    **{"scenario": "calibration", "status": "valid", "connections_requested": 20},
    **{"payload_bytes": 64, "depth": 1, "echoes_per_s": 1000.0, "server": {"cpu_busy": 1.0}},
}
IDLE, PACED = 0, 1
# The first in which the share of all until then allows two trials to be measured again
BLOCK = 3


class Attempted:
    """A campaign of `poll`, whose capacity is known, and `select`, whose is not; each attempt at
    trials stores what `shown` says of a cell."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = directory / "mine.toml"
        path.write_text(PROFILE)
        profile = profiles.load(str(path))
        trials = trial_plan.make(profile, ["poll", "select"], 1)
        self.campaign = Campaign.create(directory, "one", CampaignHead.of({}))
        self.campaign.append_cell(CAPACITY)
        for name in ("poll", "select"):
            end = {"trial": f"0-{name}", "block": 0, "attempt": 1, "outcome": "done", "code": ""}
            self.campaign.append_outcome(end | {"repeats": []})
        self.trials = [one for one in trials if one.block == BLOCK]
        request = SimpleNamespace(
            profile=profile,
            trials=trials,
            split=None,
            workers=0,
            budget_s=None,
            blocks_planned=profile.trials,
        )
        progress = SimpleNamespace(event=lambda name, **facts: None)
        self.rounds = Rounds(
            self.campaign, cast("Any", request), cast("Any", None), cast("Any", progress)
        )
        # {(variant, cell): status of the first attempt}
        self.shown: dict[tuple[str, int], str] = {}
        # {variant: how many attempts others disturb before the server is ready}
        self.disturbs: dict[str, int] = {}
        self.groups: list[list[tuple[str, tuple[int, ...]]]] = []
        self._attempts: dict[str, int] = {}
        monkeypatch.setattr(schedule, "TrialRun", self._run)
        monkeypatch.setattr(schedule, "in_turns", self._in_turns)

    def _run(self, backend: object, context: TrialContext, *, attempt: int, **_: object) -> Any:
        cells = [context.trial.number(place) for place in range(len(context.trial.cells))]
        name = context.trial.variant
        for cell in cells if attempt > self.disturbs.get(name, 0) else ():
            status = self.shown.get((name, cell), "valid") if attempt == 1 else "valid"
            line = {"trial": context.trial.id, "variant": name, "block": BLOCK, "cell": cell}
            line |= {"scenario": context.trial.cells[cells.index(cell)].scenario}
            self.campaign.append_cell(line | {"attempt": attempt, "status": status})
        self._attempts[name] = attempt
        return SimpleNamespace(run=lambda: (name, tuple(cells)))

    def _in_turns(self, runs: list[tuple[str, tuple[int, ...]]]) -> list[Outcome]:
        if runs:
            self.groups.append(sorted(runs))
        return [
            DISTURBED if self._attempts[name] <= self.disturbs.get(name, 0) else DONE
            for name, _ in runs
        ]

    def ends(self, trial: str) -> list[tuple[str, list[int]]]:
        """Outcome of each attempt at a trial, and the cells that it was about."""
        lines = [line for line in self.campaign.outcomes() if line["trial"] == trial]
        return [(line["outcome"], list(line["repeats"])) for line in lines]

    def run(self) -> None:
        known = cast("Any", dict.fromkeys(("poll", "select"), None))
        self.rounds.run(self.trials, known)


def test_side_by_side_takes_no_workers(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE)

    def request(workers: int) -> Request:
        return launch.request_of(
            profile=str(path),
            servers=["poll"],
            servers_dir=ROOT / "servers",
            seed=1,
            workers=workers,
            reports=tmp_path,
            argv=(),
        )

    assert request(0).profile.side_by_side
    with pytest.raises(UsageError, match="no workers"):
        request(2)


@pytest.fixture
def attempted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempted:
    return Attempted(tmp_path, monkeypatch)


def test_a_noisy_cell_of_one_is_measured_again_in_all_that_ran_with_it(
    attempted: Attempted,
) -> None:
    attempted.shown = {("select", IDLE): "noisy"}

    attempted.run()

    assert attempted.groups == [
        [("poll", (IDLE, PACED)), ("select", (IDLE,))],
        [("poll", (IDLE,)), ("select", (IDLE,))],
    ]


def test_what_a_trial_did_not_run_again_is_not_told_of_it(attempted: Attempted) -> None:
    """Else its share would count as tried, once its capacity is known."""
    attempted.shown = {("poll", IDLE): "noisy", ("poll", PACED): "noisy"}

    attempted.run()

    assert attempted.groups[1:] == [[("poll", (IDLE, PACED)), ("select", (IDLE,))]]
    assert attempted.ends("3-poll")[1:] == [("done", [IDLE, PACED])]
    assert attempted.ends("3-select")[1:] == [("done", [IDLE])]


def test_a_trial_that_has_no_such_cell_keeps_what_it_has(attempted: Attempted) -> None:
    """`select` has no capacity, so no share of it: another's noisy one is none of its business."""
    attempted.shown = {("poll", PACED): "noisy"}

    attempted.run()

    assert attempted.groups[1:] == [[("poll", (PACED,))]]
    assert attempted.ends("3-select") == [("done", [])]
    assert attempted.rounds.missing() == [
        one for one in attempted.rounds._request.trials if one.block in (1, 2)
    ]


def test_a_server_that_cannot_be_measured_again_keeps_its_result(attempted: Attempted) -> None:
    attempted.run()
    unbuilt = Outcome(outcome="failed", code="build-failed")
    measured, unmeasured = (
        next(one for one in attempted.rounds._request.trials if one.id == name)
        for name in ("3-poll", "1-poll")
    )

    attempted.rounds.end(measured, unbuilt)
    attempted.rounds.end(unmeasured, unbuilt)

    assert attempted.ends("3-poll") == [("done", [])]
    assert attempted.ends("1-poll") == [("failed", [])]


def test_a_server_that_was_disturbed_before_it_was_ready_is_tried_again_by_itself(
    attempted: Attempted,
) -> None:
    attempted.disturbs = {"poll": 1}

    attempted.run()

    assert attempted.groups == [
        [("poll", (IDLE, PACED)), ("select", (IDLE,))],
        [("poll", (IDLE, PACED))],
    ]
    assert attempted.ends("3-poll") == [("failed", []), ("done", [])]


def test_a_server_is_tried_again_as_often_as_the_bounds_allow(attempted: Attempted) -> None:
    """`repeats_max` is 1. A resumed campaign tries once more what has no result."""
    attempted.disturbs = {"poll": 9}

    attempted.run()

    assert attempted.ends("3-poll") == [("failed", []), ("failed", [])]
    assert attempted.groups[1:] == [[("poll", (IDLE, PACED))]]
    assert "3-poll" in [trial.id for trial in attempted.rounds.missing()]


def test_what_was_disturbed_is_tried_again_even_where_few_trials_are_planned(
    attempted: Attempted,
) -> None:
    """The share of the first block is no trial, and one that accused no server is one more."""
    request = attempted.rounds._request
    attempted.trials = [one for one in request.trials if one.block == 1 and "poll" in one.id]
    attempted.disturbs = {"poll": 1}

    attempted.run()

    assert attempted.ends("1-poll") == [("failed", []), ("done", [])]
