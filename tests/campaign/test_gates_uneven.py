"""A host that is not the same from one tenth of a window to the next, played by the server."""

from __future__ import annotations

import pytest
from command import C10k
from faulty_servers import echo
from one_cell import measured, run, status_by, tripped

pytestmark = pytest.mark.timing

# As a neighbour does who takes turns with it, and whom no counter shows: 0.4 s at ease, 0.4 s slow.
TAKES_TURNS = echo(on_data="if time.monotonic() % 0.8 < 0.4: slow()").replace(
    "selector = selectors",
    """
import time
def slow():
    until = time.monotonic() + 0.005
    while time.monotonic() < until: pass
selector = selectors""",
    1,
)


def test_a_rate_that_jumps_inside_the_window_makes_no_sure_mean(c10k: C10k) -> None:
    done = run(c10k, TAKES_TURNS, window_s=2.5)

    assert status_by(measured(done), "uneven") == "noisy"
    assert "the rate jumps" in tripped(measured(done), "uneven")
