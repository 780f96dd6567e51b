"""Note which other programs use the CPUs while trials run, and say so.

Rule: a look costs one pass over /proc (some 10 ms, on a CPU of the load). It happens when a trial
is about to start and when it has ended, never while anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.campaign import other_programs_read
from harness.campaign.campaign_run import update
from harness.campaign.progress import Layer, Progress
from harness.contract.stored_campaign import StoredOthers
from harness.contract.stored_cell import StoredCell
from harness.gates import other_programs
from harness.gates.other_programs import Snapshot, Used
from harness.store.campaign_store import Campaign


class Watching(Layer):
    """A display that also keeps account of other programs, in `campaign.json`."""

    def __init__(
        self,
        display: Progress,
        campaign: Campaign,
        *,
        take: Callable[[], Snapshot] = other_programs_read.snapshot,
    ) -> None:
        super().__init__(display)
        self._campaign = campaign
        self._take = take
        self._first: Snapshot | None = None
        self._told = ""

    def event(self, name: str, **facts: Any) -> None:
        """Show what happened, with the programs that were seen in the trial before."""
        if name == "outcome" and self._first is not None:
            self._note(other_programs.between(self._first, self._take()))
            self._first = None
        shown = {"others": self._told} if self._told and name in ("trial", "progress") else {}
        self._display.event(name, **facts, **shown)
        if name == "trial":
            self._first = self._take()

    def finish(self) -> None:
        """Say at the end of the campaign what used the CPUs beside it."""
        used = self._kept()
        if used is None:
            return
        used = replace(used, server_share=other_programs.server_share(self._cells()))
        update(self._campaign, others=used.as_json())
        if sentence := other_programs.sentence(used):
            self.say(sentence[0].upper() + sentence[1:])

    def _note(self, used: Used) -> None:
        known = self._kept()
        update(self._campaign, others=(known.plus(used) if known else used).as_json())
        self._told = other_programs.listed(used)

    def _kept(self) -> Used | None:
        kept = self._campaign.head().others
        return Used.of(StoredOthers.of(kept.as_json())) if kept else None

    def _cells(self) -> list[StoredCell]:
        return [StoredCell.of(line) for line in self._campaign.cells()]
