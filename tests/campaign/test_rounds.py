"""Capacities first, noisy cells again, one server twice: in one real campaign."""

from __future__ import annotations

import lines
import pytest
from command import Finished, commands
from faulty_servers import echo
from test_gates_trip import OVERFLOWS

from harness.gates.attempts import Attempts

pytestmark = pytest.mark.slow

PROFILE = """
summary = "What only measuring can tell."
ranked = false
trials = 1
repeats_max = 1
same_twice = "mine"
conformance = "off"
timing = { warmup_s = 0.1, window_s = 1.5 }
timeouts = { ready_s = 10, connect_s = 6, settle_s = 3, stop_s = 3 }

[[scenarios]]
name = "idle"
connections = [20]
active = 10

[[scenarios]]
name = "paced"
connections = [20]
rate_share = [0.05, 2.0]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    with commands(tmp_path_factory.mktemp("rounds")) as c10k:
        c10k.add_server("mine", echo())
        c10k.add_server("noisy", OVERFLOWS)
        path = c10k.directory / "rounds.toml"
        path.write_text(PROFILE)
        finished = c10k.run(path)
    # Here, so that a campaign that went wrong is told once, and not by each test in its own words
    assert finished.code == 0, finished.err + finished.out
    capacities = finished.head()["capacities"]
    assert set(capacities) == {"mine", "noisy"}, [
        (cell["variant"], cell["attempt"], cell["status"], cell["reasons"])
        for cell in finished.cells
        if cell["scenario"] == "calibration"
    ]
    return finished


def test_each_rate_is_a_share_of_the_capacity_that_the_campaign_noted(done: Finished) -> None:
    capacities = done.head()["capacities"]
    shares = [cell for cell in done.cells if cell["rate_share"]]
    assert {cell["rate_share"] for cell in shares} == {0.05, 2.0}
    for cell in shares:
        (known,) = capacities[cell["variant"].removesuffix(".again")]
        rate = known["echoes_per_s"] * cell["rate_share"]
        assert cell["rate_offered_per_s"] == float(f"{rate:.2e}")


def test_twice_its_capacity_is_never_measured_as_if_it_had_been_offered(done: Finished) -> None:
    """The server falls behind, or the load: in neither case is the cell valid."""
    for cell in done.cells:
        if cell["rate_share"] == 2.0:
            assert cell["status"] != "valid", cell["reasons"]


def test_one_server_runs_twice_in_each_block_under_two_names(done: Finished) -> None:
    trials = {(cell["block"], cell["variant"]) for cell in done.cells}

    assert {name for block, name in trials if block == 0} == {"mine", "noisy"}
    assert {name for block, name in trials if block == 1} == {"mine", "mine.again", "noisy"}
    (entry,) = [one for one in done.head()["variants"] if one.get("same_as")]
    assert (entry["name"], entry["same_as"]) == ("mine.again", "mine")
    (first,) = [one for one in done.head()["variants"] if one["name"] == "mine"]
    assert entry["digest"] == first["digest"]


def test_noisy_cells_are_measured_again_within_the_bounds_and_every_attempt_stays(
    done: Finished,
) -> None:
    repeated = [line for line in done.outcomes if line["repeats"]]
    blocks = [trial["block"] for trial in done.head()["plan"] if trial["block"]]
    assert any(line["block"] for line in repeated)
    assert len([line for line in repeated if line["block"]]) <= len(blocks) // 3
    for line in repeated:
        assert line["attempt"] == 2
        own = [cell for cell in done.cells if cell["trial"] == line["trial"]]
        first = {cell["cell"]: cell for cell in own if cell["attempt"] == 1}
        again = {cell["cell"]: cell for cell in own if cell["attempt"] == 2}
        assert sorted(again) == line["repeats"]
        assert {first[number]["status"] for number in again} <= {"noisy", "void"}
        for number, cell in again.items():
            assert cell["scenario"] == first[number]["scenario"]
            assert cell["rate_offered_per_s"] == first[number]["rate_offered_per_s"]
        used = Attempts(lines.cells(done.cells), lines.outcomes(done.outcomes))
        assert all(used.is_used(cell) for cell in lines.cells(again.values()))
    assert "replaced by later attempts" in done.out
