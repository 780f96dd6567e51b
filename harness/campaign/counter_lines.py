"""Which of the lines that a server printed of its counters belong to which cell.

The load asks for one line at each edge of a window and tells how many it has asked for in all. A
line that does not come costs a cell these figures, and never the cell.
"""

from __future__ import annotations

import time
from typing import Any

from harness.backends.base import OpenTrial
from harness.contract import server_counters
from harness.contract.cell_record import CountersAsked

# From the server's write to the end of the log that we can read.
ARRIVAL_S = 1.0
POLL_S = 0.01


class Ledger:
    """The lines of one trial."""

    def __init__(self) -> None:
        self._is_silent = False

    def of_window(self, opened: OpenTrial, asked: CountersAsked | None) -> dict[str, Any]:
        """The server's own counters in a window, or the reason why there are none.

        `asked` is what the load told: how many lines so far, and what went wrong with asking; None
        when it did not ask.
        """
        if asked is None:
            return {"counters": None, "counters_reason": None}
        if asked.reason is not None:
            return {"counters": None, "counters_reason": asked.reason}
        printed = self._await(opened, asked.lines)
        if len(printed) < asked.lines:
            self._is_silent = True  # whatever comes late, no other cell is to wait for it
            text = f"SIGUSR1 was sent {asked.lines} times and answered {len(printed)} times"
            return {"counters": None, "counters_reason": text}
        before, after = printed[asked.lines - 2 : asked.lines]
        return {"counters": server_counters.between(before, after), "counters_reason": None}

    def _await(self, opened: OpenTrial, lines: int) -> list[dict[str, int]]:
        deadline_s = time.monotonic() + (0.0 if self._is_silent else ARRIVAL_S)
        while True:
            printed = server_counters.lines(opened.server_log())
            if len(printed) >= lines or time.monotonic() >= deadline_s:
                return printed
            time.sleep(POLL_S)
