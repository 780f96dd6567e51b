"""Give a check the server, ways to connect to it, and a way to wait while others work.

Only one check works at a time, so none disturbs what another measures. A check that must wait for
long calls `idle`: others work until its wait is over.
"""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from harness.conformance import peers
from harness.conformance.cpu_turns import Alone, Turns
from harness.conformance.extra_servers import PORTS, Extra
from harness.conformance.observed_server import Target, until
from harness.conformance.peers import Peer
from harness.conformance.suite_results import Failed, NotServed
from harness.contract.address import Address
from harness.contract.suite_events import Judged, StartServer, SuiteEvent
from harness.contract.suite_spec import SuiteSpec
from harness.host import sockets

ALONE = Alone()
CONNECT_S = 10.0
SETTLE_S = 2.0
ANSWER_S = 5.0
ASK_AGAIN_S = 0.05
# Loopback addresses to connect from. One pair of addresses has 28,000 ports, and ports in TIME_WAIT
# make connect search (__inet_hash_connect in inet_hashtables.c).
SOURCES = tuple(f"127.0.0.{number}" for number in range(2, 66))


class Cancelled(BaseException):
    """The check must end at once: its time is over, or the suite replaced the server."""


Tell = Callable[[SuiteEvent], None]


class Left(Exception):
    """Only the harness, which started the server, sees the rest: suite_results.py judges `what`."""

    def __init__(
        self,
        what: Judged,
        *,
        server: str,
        env: dict[str, str] | None = None,
        counters: dict[str, int] | None = None,
        at_signal: dict[str, int] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.server = server
        self.env = env or {}
        self.counters = counters or {}
        self.at_signal = at_signal or {}


@dataclass(frozen=True, slots=True)
class Facts:
    """What all checks share.

    Attributes:
        ready_s: time from the server's start to its first echo.
        capacity: number of connections that it and the suite can hold.
        turns: permission to work.
    """

    spec: SuiteSpec
    ready_s: float
    capacity: int
    tell: Tell
    turns: Turns = ALONE


class Scene:
    """One check's own view; its end closes all connections that it opened."""

    _sources = itertools.cycle(SOURCES)

    def __init__(self, facts: Facts, server: Target, pause: Callable[[float], None]) -> None:
        self.facts = facts
        self.spec = facts.spec
        self.quick = facts.spec.quick
        self.server = server
        self.idle = pause
        self.held_elsewhere = 0
        self._peers: list[Peer] = []
        self._cancelled = False

    def connect(self, *, to: Target | None = None, narrow: bool = False) -> Peer:
        """Open one more connection. Raises Failed."""
        return self.connect_many(1, to=to, narrow=narrow)[0]

    def connect_many(
        self, count: int, *, to: Target | None = None, narrow: bool = False
    ) -> list[Peer]:
        """Open `count` more connections, and wait until all are connected. Raises Failed."""
        opened = self.begin_connects(count, to=to, narrow=narrow)
        address = (to or self.server).address
        connected = peers.finish_connects(address, opened, CONNECT_S)
        if connected < count:
            raise Failed(
                f"{count - connected:,} of {count:,} connections to {address.text} are not up "
                f"after {CONNECT_S:g} s"
            )
        return opened

    def begin_connects(
        self, count: int, *, to: Target | None = None, narrow: bool = False
    ) -> list[Peer]:
        """Begin `count` connects and wait for none. Raises Failed if one is refused."""
        address = (to or self.server).address
        source = next(self._sources) if address.family == socket.AF_INET else None
        opened = []
        for _ in range(count):
            if self._cancelled:
                raise Cancelled
            peer = Peer(peers.begin_connect(address, source, narrow=narrow))
            self._peers.append(peer)
            opened.append(peer)
        return opened

    def room(self, wanted: int) -> int:
        """Return the number of connections that this check may hold, at most `wanted`."""
        return min(wanted, self.facts.capacity - self.held_elsewhere)

    def settle(self, within_s: float = SETTLE_S) -> None:
        """Wait until the server has closed all connections that no check holds."""
        held = self.held_elsewhere + self.held()
        until(lambda: self.server.open_connections() <= held, within_s)

    def settled_descriptors(self) -> int:
        """Settle, then return the number of the server's descriptors."""
        self.settle()
        return self.server.descriptors()

    def begin(self, extra: Extra) -> None:
        """Ask the harness for a server that must refuse to serve."""
        self.facts.tell(StartServer(name=extra.name, env=extra.environment, refuses=True))

    def another(self, extra: Extra) -> Target:
        """Return the additional server of the check, once it answers. Raises Failed."""
        address, within_s = extra.address, self.spec.ready_s
        assert address is not None  # noqa: S101 (it is not one that refuses)
        setting = ", ".join(f"{name}={value}" for name, value in extra.environment.items())
        if not until(lambda: answers(address), within_s, ASK_AGAIN_S):
            told = f"started with {setting}: no echo from {address.text} within {within_s:g} s"
            raise NotServed(told + self._instead(address))
        found = Target.find(address)
        if found is None:
            raise Failed(
                f"started with {setting}: it answers, but the suite sees no process that listens"
            )
        return found

    def _instead(self, address: Address) -> str:
        """Describe what listens instead: nothing, or a server at an address that no LISTEN has."""
        if sockets.listeners(address):
            return ""
        main, first = self.server.address.port, self.spec.port_after(0)
        known = {main, *range(first, first + PORTS + 1)}
        ports = sockets.ports_of_others() if self.spec.is_private else []
        strays = [port for port in ports if port not in known]
        if where := sockets.listens_elsewhere(address, strays):
            return f": {where}"
        return "; nothing listens there"

    def require_alive(self) -> None:
        """Raise Failed if the server ended, or does not listen any more."""
        if not self.server.listens():
            raise Failed("no process listens any more")

    def held(self) -> int:
        """Return the number of connections that this check has open."""
        return sum(peer.fileno() >= 0 for peer in self._peers)

    def close(self) -> None:
        """Close all connections of the check."""
        for peer in self._peers:
            peer.close()
        self._peers.clear()

    def cancel(self) -> None:
        """Make the check end: every connection reports its end, and no new one opens."""
        self._cancelled = True
        for peer in list(self._peers):
            with suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)


def answers(address: Address) -> bool:
    """Return whether a server echoes one byte there."""
    try:
        peer = Peer(peers.begin_connect(address, None, narrow=False))
    except (Failed, OSError):
        return False
    try:
        return peer.wait(select.POLLOUT, ANSWER_S) and _echoes(peer)
    finally:
        peer.close()


def _echoes(peer: Peer) -> bool:
    try:
        return (
            peer.try_send(b"?") == 1
            and peer.wait(select.POLLIN, ANSWER_S)
            and peer.try_receive(1) == b"?"
        )
    except Failed:
        return False
