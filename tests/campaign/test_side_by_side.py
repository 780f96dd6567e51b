"""The trials of a block side by side: real servers that are up together and loaded in turns."""

from __future__ import annotations

import itertools

import pytest
from command import Finished, commands
from faulty_servers import DIES_MID_TRIAL, echo

PROFILE = """
summary = "In turns."
ranked = false
trials = 1
repeats_max = 0
same_twice = "mine"
side_by_side = true
conformance = "off"
timing = { warmup_s = 0.1, window_s = 1.0 }
timeouts = { ready_s = 10, connect_s = 6, settle_s = 3, stop_s = 3 }

[[scenarios]]
name = "ramp"
connections = [20]

[[scenarios]]
name = "idle"
connections = [20]
active = 10
turns = 10
window_s = 2.0

[[scenarios]]
name = "churn"
connections = [20]
active = 10
closing = ["fin", "rst"]
"""

NAMES = ("dies", "mine", "mine.again", "other")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    with commands(tmp_path_factory.mktemp("turns")) as c10k:
        c10k.add_server("mine", echo())
        c10k.add_server("other", echo())
        c10k.add_server("dies", DIES_MID_TRIAL)
        path = c10k.directory / "turns.toml"
        path.write_text(PROFILE)
        finished = c10k.run(path)
    assert finished.code == 4, finished.err + finished.out
    return finished


def test_the_servers_of_a_block_go_through_each_cell_together(done: Finished) -> None:
    for block, cells in itertools.groupby(done.cells, key=lambda cell: cell["block"]):
        order = [
            (cell["cell"], cell["variant"])
            for cell in cells
            if cell["variant"] != "dies" and cell["scenario"] != "churn"
        ]
        assert [number for number, _ in order] == sorted(number for number, _ in order), block
        for number, group in itertools.groupby(order, key=lambda one: one[0]):
            assert sorted(name for _, name in group) == ["mine", "mine.again", "other"], number


def test_a_trial_keeps_its_turn_from_its_first_churn_to_its_end(done: Finished) -> None:
    churn = [cell for cell in done.cells if cell["scenario"] == "churn"]
    names = [cell["variant"] for cell in churn]

    assert [cell["closing"] for cell in churn] == ["fin", "rst"] * 3
    assert names[0::2] == names[1::2]
    assert sorted(names[0::2]) == ["mine", "mine.again", "other"]
    last = max(done.cells.index(cell) for cell in done.cells if cell["scenario"] == "idle")
    assert done.cells.index(churn[0]) > last


def test_a_window_in_turns_has_its_whole_length_and_figures_of_nothing_else(done: Finished) -> None:
    timed = [cell for cell in done.cells if cell["scenario"] == "idle" and not cell["failure"]]
    assert len(timed) == 3
    for cell in timed:
        assert cell["turns"] == 10
        assert cell["window_s"] == pytest.approx(2.0, rel=0.1)
        assert len(cell["parts_per_s"]) == 10
        server, active = cell["server"], cell["active"]
        # Of 30 turns in a row, the 10 that were its own
        assert server["interval_ns"] == pytest.approx(2e9, rel=0.3)
        assert cell["generator"]["little_outstanding"] == pytest.approx(active, rel=0.02)


def test_a_server_that_dies_ends_its_own_trial_and_no_other(done: Finished) -> None:
    ends = {(line["block"], line["variant"]): line["outcome"] for line in done.outcomes}
    assert {name for _, name in ends} == set(NAMES)
    for (_, name), outcome in ends.items():
        assert outcome == ("failed" if name == "dies" else "done")
    fates = {line["code"] for line in done.outcomes if line["variant"] == "dies"}
    assert fates == {"server-died"}


def test_the_report_says_that_servers_ran_side_by_side(done: Finished) -> None:
    assert "side by side" in (done.directory / "report.html").read_text()
