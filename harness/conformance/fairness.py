"""Check fairness: no client waits because of what other clients do, or do not do."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.conformance import flood as flooding
from harness.conformance.definition import Group
from harness.conformance.peers import SILENCE_S, Peer, exchange, finish_connects, message
from harness.conformance.pings import at_best, p99, ping
from harness.conformance.scene import CONNECT_S, Scene
from harness.conformance.suite_results import Failed

GROUP = Group("fairness")

PINGERS = 50
PING_S = 0.4
FLOODED_P99_S = 0.1
FLOODED_FACTOR = 20
FLOOD_START_S = 10.0
FLOOD_END_S = 10.0
STORM_P99_S = 0.5
SILENT_P99_S = 0.05
SILENT_FACTOR = 3


@GROUP.check(
    "T10",
    "starvation",
    proves="The server serves fifty clients while another one floods it, and that one too.",
    catches="A loop reads one connection until it is empty. It is never empty while its peer sends "
    "faster. Bound the reads per turn, and continue after the other connections had theirs.",
)
def starvation(scene: Scene) -> str:
    """Compare the p99 of pings with and without a client that keeps its connection full."""
    peers = scene.connect_many(PINGERS)
    ping(peers, 0.1)
    calm_s = p99(ping(peers, PING_S))
    limit_s = max(FLOODED_P99_S, FLOODED_FACTOR * calm_s)
    with _flood(scene) as flood:
        try:
            flooded_s = at_best(lambda: p99(ping(peers, PING_S)), limit_s)
        except Failed as failed:
            raise failed.within(f"during a flood, {PINGERS} clients") from None
        echoed = _stop(flood)
    text = (
        f"p99 of {PINGERS} clients {calm_s * 1000:.1f} ms, during a flood "
        f"{flooded_s * 1000:.1f} ms; {echoed:,} bytes of the flood came back"
    )
    if flooded_s > limit_s:
        raise Failed(f"{text}; {limit_s * 1000:.0f} ms are allowed")
    if echoed == 0:
        raise Failed(f"{text}: the server starved the flooding client")
    return text


@contextmanager
def _flood(scene: Scene) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-P", "-m", flooding.__name__, scene.server.address.text]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as flood:
        try:
            assert flood.stdout is not None  # noqa: S101 (for the type checker)
            told, _, _ = select.select([flood.stdout], [], [], FLOOD_START_S)
            if not told or flood.stdout.read(1) != "+":
                raise Failed(f"the flooding client got nothing back within {FLOOD_START_S:g} s")
            yield flood
        finally:
            flood.kill()


def _stop(flood: subprocess.Popen[str]) -> int:
    """End the flood and return the number of bytes that came back. Raises Failed."""
    flood.terminate()
    told, _ = flood.communicate(timeout=FLOOD_END_S)
    words = told.split()
    if not words:
        raise Failed("the server closed the flooding client's connection")
    return int(words[-1])


@GROUP.check(
    "T18",
    "silent majority",
    proves="Connections that are silent for long do not slow the active ones, and stay open.",
    catches="A bounded pool whose threads wait for silent peers, a walk over all connections at "
    "every event, or an idle timeout that the contract does not have.",
    connections=400,
    idle_s=30,
)
def silent_majority(scene: Scene) -> str:
    """Keep nine of ten connections silent, half of these from the beginning."""
    active = scene.connect_many(scene.room(400) // 10)
    ping(active, 0.1)
    alone_s = p99(ping(active, PING_S))
    silent = scene.connect_many(len(active) * 9)
    half = len(silent) // 2
    exchange(silent[half:], [b"once"] * (len(silent) - half), SILENCE_S)
    limit_s = max(SILENT_P99_S, SILENT_FACTOR * alone_s)
    beside_s = at_best(lambda: p99(ping(active, PING_S)), limit_s)
    if beside_s > limit_s:
        raise Failed(
            f"p99 of {len(active)} active clients {alone_s * 1000:.1f} ms alone, with "
            f"{len(silent)} silent ones {beside_s * 1000:.1f} ms; {limit_s * 1000:.0f} are allowed"
        )
    seconds = 2 if scene.quick else 30
    scene.idle(seconds)
    try:
        exchange(silent, [b"still here?"] * len(silent), SILENCE_S)
    except Failed as failed:
        raise failed.within(f"silent for {seconds} s, then") from None
    return (
        f"p99 of {len(active)} active clients {alone_s * 1000:.1f} ms alone, "
        f"{beside_s * 1000:.1f} ms with {len(silent)} silent ones, which stayed for {seconds} s"
    )


@GROUP.check(
    "T20",
    "accept storm",
    proves="The server serves thousands that connect at once, and earlier clients do not wait.",
    catches="The server accepts until the queue is empty before it does anything else, or accepts "
    "once per event while more connections wait in the queue.",
    connections=5000,
)
def accept_storm(scene: Scene) -> str:
    """Connect as fast as possible, with pings of other clients in between."""
    old = scene.connect_many(20)
    ping(old, 0.1)
    count = scene.room(1000 if scene.quick else 5000) - len(old)
    worst_s = at_best(lambda: _storm(scene, old, count), STORM_P99_S)
    text = f"{count:,} connected and were served, p99 of {len(old)} others {worst_s * 1000:.1f} ms"
    if worst_s > STORM_P99_S:
        raise Failed(f"{text}; {STORM_P99_S * 1000:.0f} ms are allowed")
    return text


def _storm(scene: Scene, old: list[Peer], count: int) -> float:
    """Connect `count` clients, echo on each, close them; return the old ones' p99 in s.

    Raises Failed.
    """
    times: list[float] = []
    storm: list[Peer] = []
    messages = [message(64, seed) for seed in range(len(old))]
    while len(storm) < count:
        storm += scene.begin_connects(min(100, count - len(storm)))
        times += exchange(old, messages, SILENCE_S)
    connected = finish_connects(scene.server.address, storm, CONNECT_S)
    if connected < count:
        raise Failed(f"{count - connected:,} of {count:,} are not connected after {CONNECT_S:g} s")
    exchange(storm, [b"served?"] * count, CONNECT_S)
    for peer in storm:
        peer.close()
    scene.settle()  # frees the room for another storm
    return p99(sorted(times))
