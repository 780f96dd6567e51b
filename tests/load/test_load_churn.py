"""Churn through a whole trial: a connection per message, beside those that stay open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from load_trials import LoadRun, cell, spec

from harness import gates
from harness.contract import trial_spec
from harness.contract.record import VariantFacts
from harness.contract.stored_cell import StoredCell

Run = Callable[[dict[str, Any]], LoadRun]


def churn(connections: int, active: int, closing: str, window_s: float = 0.4) -> dict[str, Any]:
    return {**cell("churn", connections, active, window_s), "closing": closing}


def churning(*closings: str, connections: int = 30, active: int = 10) -> dict[str, Any]:
    """A step with a cell of churn for each closing, and one without churn at its end."""
    cells = [cell("ramp", connections)]
    cells += [churn(connections, active, closing) for closing in closings]
    cells.append(cell("idle", connections, active, 0.2))
    return {"connections": connections, "cells": cells}


# Gates that ask what the server did; the others trip when somebody else uses the CPUs.
OF_THE_SERVER = {"failure", "evidence", "established", "corrupt", "lost", "cycles", "silent"}


def reasons(record: dict[str, Any]) -> set[str]:
    """The gates that have something against the server."""
    verdict = gates.judge(StoredCell.of(record), VariantFacts())
    return {code for code, _ in verdict.reasons} & OF_THE_SERVER


@pytest.mark.parametrize("workers", [0, 2])
def test_both_ways_of_closing_are_cells_of_their_own_and_totals_are_exact(
    run_load: Run, workers: int
) -> None:
    run = run_load(spec(churning("fin", "rst"), workers=workers))
    run.serve_epoll()
    done = run.to_end()
    assert done["event"] == "done"
    by_fin, by_rst, idle = run.of("cell")[1:]

    for record, closing in ((by_fin, "fin"), (by_rst, "rst")):
        assert (record["failure"], record["lost"], record["errors"]) == (None, 0, {})
        assert record["closing"] == closing
        assert record["churn"]["cycles"] == record["echoes"] > 0
        assert record["churn"]["cycles_per_s"] == record["echoes_per_s"]
        assert record["churn"]["failed"] == 0
        # What a connect takes is a part of what a cycle takes.
        assert 0 < record["churn"]["connect_us"]["mean"] < record["latency_us"]["mean"]
        assert record["latency_us"]["count"] == record["echoes"]
        # Those that do not churn are held all the time.
        assert record["connections_established_min"] == 30 - 10
        assert reasons(record) == set()
    # The connections are there again.
    assert (idle["closing"], idle["churn"]) == (None, None)
    assert (idle["failure"], idle["connections_established_min"]) == (None, 30)
    counters = run.counters()
    assert done["totals"]["connections"] == counters["accepted"]
    assert done["totals"]["bytes_sent"] == counters["bytes_in"]
    assert done["totals"]["bytes_received"] == counters["bytes_out"]


def test_a_server_that_drops_one_connection_in_a_hundred_is_caught(run_load: Run) -> None:
    run = run_load(spec(churning("fin", connections=10, active=5)))
    run.serve_frail("--drop-every", "100")
    run.until("cell")
    record = run.until("cell")

    assert record["churn"]["failed"] > 0
    assert record["errors"] == {"eof": record["churn"]["failed"]}
    # One that is dropped as the traffic ends has no further cycle, and stays lost
    assert 0 <= record["lost"] <= min(record["active"], record["churn"]["failed"])
    # One that the warm-up lost is missing in the whole window
    assert reasons(record) - {"established"} == (
        {"cycles", "lost"} if record["lost"] else {"cycles"}
    )
    assert record["lost"] or "established" not in reasons(record)
    assert gates.judge(StoredCell.of(record), VariantFacts()).status == "void"


def test_churn_without_sources_works_on_a_path(run_load: Run, tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/listener"
    run = run_load(spec(churning("fin", "rst"), address=address))
    run.serve_epoll(listen=address)
    assert run.to_end()["event"] == "done"

    for record in run.of("cell")[1:3]:
        assert (record["failure"], record["errors"]) == (None, {})
        assert record["churn"]["cycles"] > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"closing": "FIN"}, "closing: input should be 'fin' or 'rst'"),
        ({"depth": 2}, "closing takes neither a depth nor a rate"),
        ({"rate_per_s": 10.0}, "closing takes neither a depth nor a rate"),
    ],
)
def test_a_plan_of_churn_that_makes_no_sense_is_refused(wrong: dict[str, Any], said: str) -> None:
    cells = [{**churn(10, 5, "fin"), **wrong}]

    with pytest.raises(trial_spec.TrialError, match=said):
        trial_spec.parse(json.dumps(spec({"connections": 10, "cells": cells})))
