"""What servers print of their own counters. Pure: text of a log in, numbers out.

A server with counters prints one line at each SIGUSR1 and one at its exit, each with all that it
counted since its start. The load sends the signals and reports how many lines should exist by
then. Two of them are the edges of a window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

NAMES = ("waits", "events", "bytes_in", "bytes_out", "accepted", "closed")
COUNT_END = 1 << 64
_BEGINNING = '{"counters"'


def lines(log: str) -> list[dict[str, int]]:
    """All that a server said of its counters, in order. A line that is none is left out."""
    found = []
    for line in log.splitlines():
        if line.startswith(_BEGINNING):
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                counters = json.loads(line)["counters"]
                found.append({str(name): _count(value) for name, value in counters.items()})
    return found


def _count(value: object) -> int:
    """Raise ValueError for what no counter of 64 bits can be."""
    if type(value) is not int or not 0 <= value < COUNT_END:
        raise ValueError
    return value


def last(log: str) -> dict[str, int] | None:
    """What it counted up to the end of the log; None when it does not say."""
    found = lines(log)
    return found[-1] if found else None


def condensed(log: str, keep: int = 3) -> str:
    """The log with the last few lines of counters: the others would crowd out the rest.

    More than two of them show that a server answered a single SIGUSR1 more than once.
    """
    told = log.splitlines()
    places = [place for place, line in enumerate(told) if line.startswith(_BEGINNING)]
    earlier = set(places[:-keep])
    return "\n".join(line for place, line in enumerate(told) if place not in earlier)


def between(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """How the counters grew; those that a server does not keep are left out."""
    return {name: after[name] - before[name] for name in NAMES if name in before and name in after}
