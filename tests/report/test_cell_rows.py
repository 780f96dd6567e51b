"""What the tables of cells say, beside what the analysis has."""

from __future__ import annotations

from typing import Any

import synthetic

from harness.report import model

CLOSED, OPEN = "idle 1,000", "paced 1,000, 2,000/s"
USEFUL = {"idle": 0.62, "paced": 0.41}
Lines = list[dict[str, Any]]


def load_column(head: dict[str, Any], lines: Lines) -> dict[str, str]:
    cells = model.build(head, lines, []).cells
    return {row.what: row.busy.split(" / ")[1] for row in cells if row.variant == "epoll-lt"}


def test_the_load_is_as_busy_as_its_gate_judges_it_in_closed_loops_and_in_open_ones() -> None:
    """It polls in both, so its whole CPU time, 99 % here, says nothing."""
    head = synthetic.campaign(paced=True)
    lines = synthetic.records(head)
    for line in lines:
        if line["scenario"] in USEFUL:
            line["generator"] |= {"cpu_busy": 0.99, "useful_busy": USEFUL[line["scenario"]]}

    busy = load_column(head, lines)

    assert (busy[CLOSED], busy[OPEN]) == ("62 %", "41 %")


def test_of_records_from_before_the_load_polled_in_closed_loops_its_cpu_time_is_shown() -> None:
    """They have no other share, and it was all useful."""
    head = synthetic.campaign()
    lines = synthetic.records(head)
    for line in lines:
        if line["scenario"] == "idle":
            line["generator"] |= {"cpu_busy": 0.97}
            line["generator"].pop("useful_busy", None)

    assert load_column(head, lines)[CLOSED] == "97 %"
