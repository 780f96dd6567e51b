"""Let one check work at a time, also if several suites share the CPUs.

A check that measures needs an idle host. A suite that shares its CPUs therefore asks the harness
before a check works, and reports when the check is over. Suites overlap only while their checks
idle. A check that crowds (`Check.crowds`) holds up to 10,000 connections, so it is the only one of
its kind on the host until it ends.
"""

from __future__ import annotations

from typing import Protocol

from harness.contract.events import Events
from harness.contract.requests import Requests
from harness.contract.suite_events import TurnAsked, TurnOver


class Turns(Protocol):
    """The permission to work."""

    def begin(self, *, crowds: bool) -> None:
        """Wait until this suite may work. Raises ReaderGone if the harness ended."""

    def over(self, *, left: bool) -> None:
        """Let others work. `left`: the check that crowded has ended."""


class Alone:
    """Permission for a suite that shares its CPUs with no other."""

    def begin(self, *, crowds: bool) -> None:
        """Return at once."""

    def over(self, *, left: bool) -> None:
        """Do nothing."""


class Shared:
    """Permission for one of several suites; harness/campaign/conformance_pool.py answers."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._requests = Requests(events)

    def begin(self, *, crowds: bool) -> None:
        """Ask the harness, and wait for its reply."""
        self._requests.ask_for(TurnAsked(crowds=crowds))

    def over(self, *, left: bool) -> None:
        """Report to the harness that the check is over."""
        self._events.tell(TurnOver(left=left))
