"""What the tables of cells say, beside what the analysis has."""

from __future__ import annotations

import synthetic

from harness.report import model


def test_the_load_of_a_paced_cell_is_as_busy_as_its_gate_judges_it() -> None:
    """It polls between messages, so its whole CPU time says nothing."""
    paced = synthetic.campaign(paced=True)
    cells = model.build(paced, synthetic.records(paced), []).cells
    busy = {row.what: row.busy.split(" / ") for row in cells if row.variant == "epoll-lt"}

    assert busy["paced 1,000, 2,000/s"][1] == "70 %"
    assert busy["idle 1,000"][1] == "99 %"
