"""Servers with one fault each in one campaign: each is named, and the others are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from command import Finished, commands, marked_processes
from faulty_servers import (
    CORRUPTS_ONE_IN_A_THOUSAND,
    CRASHES_AT_START,
    DIES_MID_TRIAL,
    ECHOES_WRONG_BYTES,
    EXITS_WITH_3,
    HOLDS_30,
    IGNORES_SIGTERM,
    LOSES_ONE,
    NEVER_LISTENS,
    echo,
)

pytestmark = pytest.mark.timing


@dataclass(frozen=True)
class Fault:
    """A server's source, and how its trial ends: a code, and words of the text that tells why."""

    program: str
    code: str
    words: str = ""


FAULTS = {
    "never-listens": Fault(NEVER_LISTENS, "not-ready", "refused"),
    "crashes-at-start": Fault(CRASHES_AT_START, "not-ready", "it exited with 1 before it was"),
    "dies": Fault(DIES_MID_TRIAL, "server-died"),
    "echoes-wrong": Fault(ECHOES_WRONG_BYTES, "wrong-echo"),
    "corrupts": Fault(CORRUPTS_ONE_IN_A_THOUSAND, "corrupt", "wrong byte"),
    "holds-fewer": Fault(HOLDS_30, "held-fewer", "of 50"),
    "loses-one": Fault(LOSES_ONE, "lost", "1 connections lost in idle at 50"),
    "ignores-sigterm": Fault(IGNORES_SIGTERM, "no-exit", "SIGTERM"),
    "exits-with-3": Fault(EXITS_WITH_3, "bad-exit", "exited with 3"),
}
RIGHT = "right"
TRIES = 3


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    for _ in range(TRIES):
        with commands(tmp_path_factory.mktemp("faults")) as c10k:
            for name, fault in FAULTS.items():
                c10k.add_server(name, fault.program)
            c10k.add_server(RIGHT, echo())
            finished = c10k.run(c10k.profile())
        # Beside other programs a server is not accused of what it did not do in time
        if "disturbed" not in {outcome["code"] for outcome in finished.outcomes}:
            break
    # Here, so that a campaign that went wrong is told once, and not by each test in its own words
    assert finished.code == 4, finished.err + finished.out
    found = {name: outcome["code"] for name, outcome in outcomes(finished).items()}
    assert found == {name: fault.code for name, fault in FAULTS.items()} | {RIGHT: ""}
    return finished


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_server_is_named(done: Finished, name: str) -> None:
    outcome = outcomes(done)[name]

    assert outcome["outcome"] == "failed"
    assert FAULTS[name].words in outcome["text"]
    assert outcome["text"] in done.out


@pytest.mark.parametrize("name", ["corrupts", "holds-fewer"])
def test_a_cell_with_a_fault_is_void(done: Finished, name: str) -> None:
    assert "void" in {cell["status"] for cell in done.cells if cell["variant"] == name}


def test_what_a_server_said_before_it_crashed_is_kept(done: Finished) -> None:
    assert "cannot read /etc/mine.conf" in outcomes(done)["crashes-at-start"]["log_tail"]


def test_the_others_are_measured_all_the_same(done: Finished) -> None:
    order = [outcome["variant"] for outcome in done.outcomes]
    assert 0 < order.index(RIGHT) < len(order) - 1
    assert outcomes(done)[RIGHT]["outcome"] == "done"
    # Not their status: a busy machine may void a cell of 0.4 s by itself.
    cells = [cell for cell in done.cells if cell["variant"] == RIGHT]
    assert [cell["scenario"] for cell in cells] == ["ramp", "idle"]
    assert [(cell["corrupt_bytes"], cell["lost"], cell["failure"]) for cell in cells] == [
        (0, 0, None)
    ] * 2
    assert marked_processes() == []


def outcomes(done: Finished) -> dict[str, dict[str, Any]]:
    return {outcome["variant"]: outcome for outcome in done.outcomes}
