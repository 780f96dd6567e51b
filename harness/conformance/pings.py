"""Time round trips of small messages: they show how the server's other work delays a client."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.conformance.peers import SILENCE_S, Peer, exchange, message

PING_BYTES = 64
ATTEMPTS = 3
PAUSE_S = 1.0


def ping(peers: Sequence[Peer], seconds: float, every_s: float = 0.01) -> list[float]:
    """Ping all peers at once, repeatedly for `seconds`; return all round trips in s, sorted.

    Raises Failed if an echo is wrong, or does not come within SILENCE_S.
    """
    times: list[float] = []
    end = time.monotonic() + seconds
    messages = [message(PING_BYTES, seed) for seed in range(len(peers))]
    while (start := time.monotonic()) < end:
        times += exchange(peers, messages, SILENCE_S)
        time.sleep(max(0.0, start + every_s - time.monotonic()))
    return sorted(times)


def p99(times: Sequence[float]) -> float:
    """Return the 99th percentile of sorted times."""
    return times[min(len(times) - 1, int(len(times) * 0.99))]


def at_best(measure: Callable[[], float], enough: float) -> float:
    """Return the lowest of up to ATTEMPTS measurements; stop when one is at most `enough`.

    Other processes can only add to a time, so the lowest is nearest to the server's own. A wait
    without end is not a matter of chance: it raises Failed at the first attempt.

    A pause separates the measurements: without it, the next one could fall into the same busy
    moment of the host.
    """
    lowest = measure()
    for _ in range(ATTEMPTS - 1):
        if lowest <= enough:
            break
        time.sleep(PAUSE_S)
        lowest = min(lowest, measure())
    return lowest
