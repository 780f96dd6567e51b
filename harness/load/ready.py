"""Readiness: the server is ready when it echoed random bytes, all of them, on a plain socket.

The bytes come in lengths around a server's 16 KiB read buffer and in more than one send, so a
server that answers the first packet only is found out before it costs a trial.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import gevent
from gevent import socket

from harness.contract.address import Address
from harness.host import sockets
from harness.host.fair_wait import Wait

# Each message is sent piece by piece and must come back whole before the next one.
MESSAGES_BYTES = ((1,), (64,), (100, 900), (16384, 1), (20000, 20000))
ATTEMPT_S = 2.0
RETRY_S = 0.02
CONTEXT_BYTES = 8


class NotReady(Exception):
    """No verified echo within the time. The message says what was seen last."""


class WrongEcho(Exception):
    """The server answered with other bytes than it was sent."""


@dataclass
class Traffic:
    """What the readiness probe itself did to the server: part of the trial's exact totals.

    They are not exact where an attempt was given up: nobody knows what the server has read of it,
    or has answered into a socket that is closed by now.
    """

    is_exact: bool = True
    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    echoes: int = 0


def wait(address: Address, waiting: Wait, traffic: Traffic, *, is_private: bool = False) -> float:
    """Wait for a verified echo and return how many seconds it took.

    `is_private`: nothing but this process and the server listens in this network namespace.

    Adds to `traffic` what it opened, sent and received. Raises NotReady or WrongEcho.
    """
    waiting.begin()
    seen = "nothing was tried"
    while not waiting.is_over():
        try:
            _attempt(address, waiting, traffic)
        except _Silent as silent:
            seen = str(silent)
        except OSError as error:
            seen = os.strerror(error.errno).lower() if error.errno else str(error)
        else:
            return waiting.waited_s
        gevent.sleep(RETRY_S)
    elsewhere = sockets.ports_of_others() if is_private else []
    if where := sockets.listens_elsewhere(address, elsewhere):
        seen = where
    waited_s = round(waiting.waited_s, 1)
    raise NotReady(f"no verified echo from {address.text} within {waited_s:g} s: {seen}")


STAYS_OPEN = "a connection stays open until its client ends it"


class _Silent(Exception):
    """The connection was accepted, but the echo did not come, or not whole."""

    def behind(self, echoed: int) -> _Silent:
        """The same behind so many messages of the connection that were echoed."""
        if not echoed:
            return _Silent(f"accepted, then {self}")
        return _Silent(f"it echoed {echoed} message(s) of the connection, then {self}")


def _attempt(address: Address, waiting: Wait, traffic: Traffic) -> None:
    timeout_s = min(ATTEMPT_S, max(RETRY_S, waiting.left_s))
    with socket.socket(address.family, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(address.target)
        traffic.connections += 1
        try:
            for number, pieces in enumerate(MESSAGES_BYTES):
                try:
                    _echo(connection, pieces, waiting, timeout_s, traffic)
                except _Silent as silent:
                    raise silent.behind(number) from None
                except ConnectionError:
                    # What arrives at a closed socket is answered by a reset, sooner or later
                    if not number:
                        raise
                    raise _Silent(f"closed it; {STAYS_OPEN}").behind(number) from None
        except (OSError, _Silent):
            traffic.is_exact = False
            raise
        _finish(connection, traffic)


def _echo(
    connection: socket.socket,
    pieces: tuple[int, ...],
    waiting: Wait,
    timeout_s: float,
    traffic: Traffic,
) -> None:
    """One message, and its echo. An answer that comes in drops ends with the wait as a whole."""
    expected = os.urandom(sum(pieces))
    position = 0
    for piece in pieces:
        connection.sendall(expected[position : position + piece])
        position += piece
        traffic.bytes_sent += piece
    got = b""
    while len(got) < len(expected):
        try:
            part = connection.recv(len(expected) - len(got))
        except TimeoutError:
            raise _Silent(
                f"silent for {timeout_s:.1f} s after {len(got):,} of {len(expected):,} bytes"
            ) from None
        if not part:
            raise _Silent(f"closed it after {len(got):,} of {len(expected):,} bytes; {STAYS_OPEN}")
        traffic.bytes_received += len(part)
        _compare(expected, len(got), part)
        got += part
        if len(got) < len(expected) and waiting.is_over():
            raise _Silent(f"answered only {len(got):,} of {len(expected):,} bytes in time")
    traffic.echoes += 1


def _compare(expected: bytes, position: int, part: bytes) -> None:
    wanted = expected[position : position + len(part)]
    if wanted == part:
        return
    first = next(i for i, (a, b) in enumerate(zip(wanted, part, strict=True)) if a != b)
    raise WrongEcho(
        f"wrong echo at byte {position + first:,} of {len(expected):,}: expected "
        f"{wanted[first : first + CONTEXT_BYTES].hex(' ')}, "
        f"got {part[first : first + CONTEXT_BYTES].hex(' ')}"
    )


def _finish(connection: socket.socket, traffic: Traffic) -> None:
    """Half-close and read to the end, so that the server's own counters are settled."""
    connection.shutdown(socket.SHUT_WR)
    try:
        rest = connection.recv(CONTEXT_BYTES)
    except (TimeoutError, ConnectionResetError):
        return  # a server that keeps or resets half-closed connections: the suite's affair
    traffic.bytes_received += len(rest)
    if rest:
        raise WrongEcho(f"wrong echo: {rest.hex(' ')} more than was sent")
