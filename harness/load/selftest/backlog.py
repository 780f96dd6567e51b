"""A listener that does not accept: how many connections its backlog takes, and when the rest come.

Ordinary sockets, and no engine: what is tried is the kernel that every server here listens on.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from contextlib import ExitStack

from harness.contract.selftest_figures import BacklogFigures

BACKLOG = 16
BEYOND = 8
# Loopback makes a connection inside connect(): what is not there by now waits.
AT_ONCE_S = 0.3
# The SYN is sent again after a second, and again a second or two later.
REST_S = 6.0
LOOPBACK = "127.0.0.1"


def admit() -> BacklogFigures:
    """Connect more than a backlog takes, then accept.

    Returns:
        backlog: its size; tried: how many connections; admitted: how many were connected while
        nobody accepted; late: how many of the rest were connected after it, and waited_s: how long
        the median one of them took.

    Raises:
        OSError: this host has no loopback to listen on.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(BACKLOG)
        ready = stack.enter_context(selectors.DefaultSelector())
        started: dict[socket.socket, float] = {}
        for _ in range(BACKLOG + 1 + BEYOND):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            started[client] = time.monotonic()
            client.connect_ex(listener.getsockname())
            ready.register(client, selectors.EVENT_WRITE)
        at_once = _connected(ready, started, AT_ONCE_S)
        listener.setblocking(False)
        ready.register(listener, selectors.EVENT_READ, data=stack)
        late = _connected(ready, started, REST_S)
    return BacklogFigures(
        backlog=BACKLOG,
        tried=BACKLOG + 1 + BEYOND,
        admitted=len(at_once),
        late=len(late),
        waited_s=statistics.median(late) if late else None,
    )


def _connected(
    ready: selectors.BaseSelector, started: dict[socket.socket, float], within_s: float
) -> list[float]:
    """Seconds that each connection took that was made by then; ends when all are made."""
    took: list[float] = []
    give_up = time.monotonic() + within_s
    while started and (left_s := give_up - time.monotonic()) > 0:
        for key, _ in ready.select(left_s):
            now = time.monotonic()
            if isinstance(key.data, ExitStack):
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 (the listener)
                key.data.enter_context(key.fileobj.accept()[0])
                continue
            assert isinstance(key.fileobj, socket.socket)  # noqa: S101 (all are sockets)
            ready.unregister(key.fileobj)
            took.append(now - started.pop(key.fileobj))
    return took
