"""Let one check be at work at a time, also where several suites share the CPUs.

A check that measures must meet an idle host. A suite that shares its CPUs therefore asks the
harness before a check works, and says when it is over; suites overlap only while their checks idle.
A check that crowds (`Check.crowds`) is the only one of its kind on the host until it ends, since it
holds up to 10,000 connections.
"""

from __future__ import annotations

from typing import Protocol

from harness.contract.events import Events
from harness.contract.requests import Requests


class Turns(Protocol):
    """Permission to work."""

    def begin(self, *, crowds: bool) -> None:
        """Wait until this suite may work. Raises ReaderGone when the harness is gone."""

    def over(self, *, left: bool) -> None:
        """Let others work. `left`: the check that crowded has ended."""


class Alone:
    """For a suite that shares its CPUs with no other."""

    def begin(self, *, crowds: bool) -> None:
        """Go on."""

    def over(self, *, left: bool) -> None:
        """Go on."""


class Shared:
    """For a suite beside others; harness/campaign/conformance_pool.py answers."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._requests = Requests(events)

    def begin(self, *, crowds: bool) -> None:
        """Ask, and wait for the reply."""
        self._requests.ask("turn", crowds=crowds)

    def over(self, *, left: bool) -> None:
        """Say so."""
        self._events.emit("over", left=left)
