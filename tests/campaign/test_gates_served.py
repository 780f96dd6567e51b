"""The gates of an open loop's replies, tripped by servers that owe them when the window ends."""

from __future__ import annotations

from typing import Any

import pytest
from command import C10k
from faulty_servers import STOPS_ACROSS_THE_EDGE, echo
from one_cell import measured, run, tripped

pytestmark = pytest.mark.timing

# From the middle of the window on each reply is 15 ms late: those to 15 of its 5,000 messages are
# then still to come at its end.
LATE = echo(
    on_data="if served > 2500: later.put((time.monotonic() + 0.015, peer, data)); continue"
).replace(
    "selector = selectors",
    """
import queue, threading, time
later = queue.Queue()
def answer():
    while True:
        due, late, reply = later.get()
        time.sleep(max(0.0, due - time.monotonic()))
        late.sendall(reply)
threading.Thread(target=answer, daemon=True).start()
selector = selectors""",
    1,
)
# At most 400 messages of 64 bytes a second, however many it reads at once
SLOW = echo(on_data="import time; time.sleep(0.0025 * len(data) / 64)")


def test_a_rate_that_the_server_does_not_keep_has_no_latency(c10k: C10k) -> None:
    done = run(c10k, SLOW, scenario="paced", more="rate_per_s = [800]", window_s=1.0, settle_s=10.0)

    cell = measured(done)
    assert cell["status"] == "void"
    assert "came after the window" in tripped(cell, "not-served")
    assert cell["generator"]["send_lag_us"]["count"] > 1.3 * cell["echoes"] > 0


def test_a_stop_across_the_end_of_a_window_is_not_left_out_of_its_latency(c10k: C10k) -> None:
    paced: dict[str, Any] = {"scenario": "paced", "more": "rate_per_s = [200]"}

    done = run(c10k, STOPS_ACROSS_THE_EDGE, window_s=3.0, settle_s=10.0, **paced)

    cell = measured(done)
    assert cell["status"] == "void"
    # The replies that did come were quick
    assert cell["latency_us"]["p99"] < 1e6
    assert "came after the window" in tripped(cell, "late-replies")


def test_a_few_late_replies_are_told_and_no_rate_that_was_not_kept(c10k: C10k) -> None:
    done = run(c10k, LATE, scenario="paced", more="rate_per_s = [1000]", window_s=5.0)

    assert "came after the window" in tripped(measured(done), "late-replies")
    assert "not-served" not in dict(measured(done)["reasons"])
