"""Check resources: the server frees what it uses, and continues when descriptors run out."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence

from harness.conformance.definition import Group
from harness.conformance.observed_server import until
from harness.conformance.peers import SILENCE_S, Peer, exchange
from harness.conformance.pings import at_best
from harness.conformance.scene import Scene
from harness.conformance.suite_results import Failed, Skipped

GROUP = Group("resources")

ROOM = 50
CLIENTS = 100
ASKED_S = 0.3
FULL_S = 1.1  # longer than the second after which many runtimes retry, all at once
FULL_SHARE = 0.2
RECOVERY_S = 2.0
CYCLES, CYCLES_QUICK = 10_000, 1_000
CYCLE_BATCH = 50
LEFT_MAX = 2
LEAK_BYTES = 1 << 20
# A runtime may gather this much garbage before it collects it. V8's young generation grows to
# 16 MiB (--max-semi-space-size), and a connection leaves some 3 KB there
GARBAGE_BYTES = 16 << 20
ROUNDS, ROUNDS_QUICK = 3, 12
MANY, MANY_QUICK = 10_000, 900
MANY_S = 30.0
MANY_IDLE_S = 10
# A thread costs 25 to 50 KB per connection (analysis/expected_shapes/published.py), and only a
# process needs more
PER_CONNECTION_BYTES = 50_000
ABOVE_SETSIZE = 1100  # more than FD_SETSIZE in sys/select.h
BEYOND = 50
ASK = b"here?"


@GROUP.check(
    "T14",
    "out of descriptors",
    proves="Without a free descriptor the server waits without spinning, and then continues.",
    catches="A connection that the server cannot accept keeps the listener ready, so the loop "
    "spins. Or the server ends at EMFILE. Stop watching the listener until a descriptor is free "
    "(accept(2), EMFILE).",
)
def out_of_descriptors(scene: Scene) -> str:
    """Leave room for 50 more descriptors, connect 100 clients, then close the served ones."""
    scene.settled_descriptors()
    server = scene.server
    with server.room_for(max(1, ROOM // len(server.running()))):
        crowd = Crowd(scene.connect_many(CLIENTS))
        crowd.ask(ASKED_S)
        # The best of several: a runtime may still work on earlier load, such as ended threads
        share = at_best(lambda: server.cpu_share(FULL_S), FULL_SHARE)
        crowd.look()
        scene.require_alive()
        served = len(crowd.served)
        if served == CLIENTS:
            return f"{CLIENTS} clients were served with room for {ROOM} descriptors"
        if share > FULL_SHARE:
            raise Failed(
                f"{served} of {CLIENTS} are served, and the server uses {share:.0%} of a CPU"
            )
        if served == 0:
            raise Failed(f"none of {CLIENTS} clients is served, although there is room for {ROOM}")
        for peer in crowd.served:
            peer.close()
        # Refused clients do not wait any more; a new client certainly does
        waiting = Crowd([*crowd.silent, scene.connect()])
        waiting.peers[-1].send(ASK)
        enough = min(len(waiting.peers), served) - LEFT_MAX
        waiting.look_until(enough, RECOVERY_S)
        if len(waiting.served) < enough:
            raise Failed(
                f"{served} served clients left, but {RECOVERY_S:g} s later {len(waiting.served)} "
                f"of {len(waiting.peers)} that waited are served"
            )
    return f"{served} of {CLIENTS} served, {share:.1%} CPU while the others waited, then these too"


@GROUP.check(
    "T15",
    "nothing is left behind",
    proves="After thousands of connections, some of them aborted, the server keeps no resource.",
    catches="A descriptor, a thread or memory outlives its connection. Close and free everything "
    "on every way out of a connection, errors included.",
    timeout_s=60,
)
def nothing_left(scene: Scene) -> str:
    """Compare descriptors, threads and memory before and after; memory without the first half."""
    server, half = scene.server, (CYCLES_QUICK if scene.quick else CYCLES) // 2
    _cycle(scene, CYCLE_BATCH)
    descriptors, threads = scene.settled_descriptors(), server.threads()
    readings: list[int] = []
    for count in range(half, half * (2 + (ROUNDS_QUICK if scene.quick else ROUNDS)), half):
        _cycle(scene, half)
        if not until(lambda: server.descriptors() <= descriptors + LEFT_MAX, RECOVERY_S):
            raise Failed(
                f"after {count:,} connections {server.descriptors()} descriptors are open; "
                f"there were {descriptors}"
            )
        if not until(lambda: server.threads() <= threads + LEFT_MAX, RECOVERY_S):
            raise Failed(
                f"after {count:,} connections there are {server.threads()} threads; "
                f"there were {threads}"
            )
        readings.append(server.resident_bytes())
        if not keeps_memory(readings):
            break
    growth = readings[-1] - readings[0]
    if keeps_memory(readings):
        raise Failed(f"resident memory grew by {growth:,} bytes in {count - half:,} connections")
    return f"{count:,} connections left {descriptors} descriptors, memory {growth:+,} bytes"


def keeps_memory(readings: Sequence[int]) -> bool:
    """Return whether resident memory may still grow; `readings` has one value in bytes per round.

    A leak grows with every round. Garbage that a runtime has not collected yet soon stops growing.
    """
    if len(readings) < 2:
        return True
    return readings[-1] - readings[-2] > LEAK_BYTES or readings[-1] - readings[0] > GARBAGE_BYTES


def _cycle(scene: Scene, count: int) -> None:
    """Open, echo and end `count` connections, every fifth by RST."""
    for _ in range(0, count, CYCLE_BATCH):
        peers = scene.connect_many(CYCLE_BATCH)
        exchange(peers, [ASK] * len(peers), SILENCE_S)
        for peer in peers[::5]:
            peer.reset()
        for number, peer in enumerate(peers):
            if number % 5:
                peer.half_close()
                peer.expect_end()
                peer.close()


@GROUP.check(
    "T16",
    "many at once",
    proves="The server serves 10,000 connections, or as many as it declares, twice.",
    catches="Tables of a fixed size, descriptors above 1,023, a fault in growing, or memory. Each "
    "connection must cost a bounded amount of memory, whatever their number.",
    connections=MANY,
    idle_s=MANY_IDLE_S,
    crowds=True,
    timeout_s=90,
)
def many_at_once(scene: Scene) -> str:
    """Connect all, echo three times on each, stay idle, and echo again."""
    count = scene.room(MANY_QUICK if scene.quick else MANY)
    processes, before = len(scene.server.running()), scene.server.resident_bytes()
    start_s = time.monotonic()
    peers = scene.connect_many(count)
    for number in range(3):
        exchange(peers, [f"{number}:{index:08}".encode() for index in range(count)], MANY_S)
    took_s = time.monotonic() - start_s
    each = (scene.server.resident_bytes() - before) / count
    forks = len(scene.server.running()) > processes
    if each > PER_CONNECTION_BYTES and not forks:
        raise Failed(
            f"{count:,} connections take {each:,.0f} bytes of resident memory each; "
            f"{PER_CONNECTION_BYTES:,} are allowed"
        )
    scene.idle(2 if scene.quick else MANY_IDLE_S)
    exchange(peers, [f"4:{index:08}".encode() for index in range(count)], MANY_S)
    return f"{count:,} connections up and echoed in {took_s:.1f} s, {each:,.0f} bytes each"


@GROUP.check(
    "T17",
    "beyond a wall",
    proves="The server serves descriptors above 1,023, or refuses them as its variant.toml says.",
    catches="FD_SET of a descriptor from FD_SETSIZE on writes behind its array (select(2), BUGS). "
    "Refuse such a connection, and declare `[limits]` in variant.toml.",
    connections=MANY,
    quick=False,
)
def beyond_a_wall(scene: Scene) -> str:
    """Open 1,100 connections, or 50 more than the declared ceiling."""
    ceiling = scene.spec.connections_max
    if ceiling is None:
        if scene.room(ABOVE_SETSIZE) < ABOVE_SETSIZE:
            raise Skipped(f"server and suite may not hold {ABOVE_SETSIZE:,} descriptors here")
        peers = scene.connect_many(ABOVE_SETSIZE)
        exchange(peers, [f"{index:08}".encode() for index in range(len(peers))], MANY_S)
        return f"{len(peers):,} connections are served"
    crowd = Crowd(scene.connect_many(ceiling + BEYOND))
    crowd.ask(RECOVERY_S)
    scene.require_alive()
    if len(crowd.served) < ceiling:
        raise Failed(f"declares {ceiling:,} connections, but serves {len(crowd.served):,}")
    refused, queued = len(crowd.ended), len(crowd.silent)
    expected = refused if scene.spec.beyond == "refuse" else queued
    text = (
        f"of {ceiling + BEYOND:,} connections {len(crowd.served):,} are served, {refused} refused, "
        f"{queued} kept waiting"
    )
    if len(crowd.served) + expected < ceiling + BEYOND:
        raise Failed(f'{text}; it declares beyond = "{scene.spec.beyond}"')
    for peer in crowd.served[:BEYOND]:
        peer.close()
    after = Crowd(crowd.silent or scene.connect_many(BEYOND // 2))
    after.ask(RECOVERY_S)
    if len(after.served) < len(after.peers):
        raise Failed(
            f"{text}; after {BEYOND} left, {len(after.served)} of {len(after.peers)} others are "
            "served"
        )
    exchange(crowd.served[BEYOND:], [ASK] * (len(crowd.served) - BEYOND), MANY_S)
    return text


class Crowd:
    """Clients of which the server may refuse some or let them wait."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self.peers = list(peers)
        self.served: list[Peer] = []
        self.ended: list[Peer] = []
        self.silent = list(peers)

    def ask(self, within_s: float) -> None:
        """Send to all, and look at the answers until all came or `within_s` is over."""
        for peer in self.peers:
            try:
                peer.try_send(ASK)
            except Failed:
                continue  # the server refused it: `look` sees its end
        self.look_until(len(self.peers), within_s)

    def look_until(self, served: int, within_s: float) -> None:
        """Look repeatedly until `served` peers are served or `within_s` is over."""

        def enough() -> bool:
            self.look()
            return len(self.served) >= served or not self.silent

        until(enough, within_s)

    def look(self) -> None:
        """Sort the silent peers: served, ended or still silent."""
        poll = select.poll()
        for peer in self.silent:
            poll.register(peer, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(0)}
        still = []
        for peer in self.silent:
            if peer.fileno() not in ready:
                still.append(peer)
            elif _is_answered(peer):
                self.served.append(peer)
            else:
                self.ended.append(peer)
        self.silent = still


def _is_answered(peer: Peer) -> bool:
    try:
        return peer.try_receive(len(ASK)) == ASK
    except Failed:
        return False
