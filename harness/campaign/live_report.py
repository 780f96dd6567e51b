"""The report of a campaign that is still running, drawn between its trials.

Rule 1: never while anything is measured. A trial's outcome is told when its server and its load
are gone and before the next ones start; only then is the report drawn.
Rule 2: a report that cannot be drawn now ends no campaign: its cells are safe on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.campaign.progress import Layer, Progress
from harness.report import draw
from harness.store.campaign_store import Campaign

# Drawing takes 1 to 4 s of CPU, for which the next trial waits: once a minute is at most 7 % of
# the campaign. A campaign that is over within a minute gets its report sooner by not waiting.
REDRAW_INTERVAL_S = 60.0


class Redrawing(Layer):
    """A display that also draws the report: after the first trial, then once a minute at most."""

    def __init__(
        self,
        display: Progress,
        campaign: Campaign,
        *,
        estimate_s: float,
        redraw: Callable[[Campaign], object] = draw.report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(display)
        self._campaign = campaign
        self._redraw = redraw
        self._clock = clock
        self._is_short = estimate_s < REDRAW_INTERVAL_S
        self._trials_left = 0
        self._drawn_s: float | None = None

    def event(self, name: str, **facts: Any) -> None:
        """Show what happened; after a trial, draw the report when it is time."""
        self._display.event(name, **facts)
        if name == "trial":
            self._trials_left = facts["of"] - facts["index"] - facts.get("beside", 1) + 1
        elif name == "outcome" and self._is_due():
            self._draw()

    def _is_due(self) -> bool:
        """Not after the last trial, whose report is drawn at the end anyway, nor before the first:
        servers that do not build have outcomes too."""
        if self._is_short or not self._trials_left:
            return False
        return self._drawn_s is None or self._clock() - self._drawn_s >= REDRAW_INTERVAL_S

    def _draw(self) -> None:
        try:
            self._redraw(self._campaign)
        except Exception as error:
            self.say(f"the report cannot be drawn now: {error}")
        self._drawn_s = self._clock()
