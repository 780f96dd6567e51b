"""The event loop that all mechanisms share, and the seam behind which they differ.

A mechanism is a class with four methods and one number (`Waiter`); it knows nothing of echoing. The
loop knows nothing of how one waits.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection
from typing import Protocol

from c10k.connection import OVER, READ, TURN, Connection
from c10k.listener import NO_ROOM, WENT_AWAY, listening
from c10k.options import EXIT_RUNTIME, Fault, Options
from c10k.server import REST_S, Counters, SignalPipe, run_server

# An accept costs some microseconds; a storm of connects may not keep the others waiting.
ACCEPTS_MAX = 64


class Waiter(Protocol):
    """How one waits for many descriptors."""

    # How many turns a reported descriptor gets before the others have theirs.
    turns_max: int

    def add(self, fd: int) -> bool:
        """Watch a new descriptor for reading. False: this mechanism cannot hold it."""

    def want(self, fd: int, want: int) -> None:
        """Report it for READ, WRITE or TURN. Called after every turn of a descriptor, so it must
        cost little when nothing changes."""

    def remove(self, fd: int) -> None:
        """Forget a descriptor. It is still open, and was reported in the batch at hand."""

    def wait(self, timeout_s: float | None) -> Collection[int]:
        """Wait for at most so long (None: for ever); the descriptors that are ready, each once."""


class Loop:
    """One thread that serves all connections."""

    def __init__(self, waiter: Waiter, listener: socket.socket, signals: SignalPipe) -> None:
        listener.setblocking(False)
        self._waiter = waiter
        self._listener = listener
        self._signals = signals
        self._connections: dict[int, Connection] = {}  # by descriptor
        self._counters = Counters()
        self._resting = False
        self._rest_until_s = 0.0  # in the past: as soon as possible
        if not waiter.add(listener.fileno()) or not waiter.add(signals.fileno()):
            raise Fault(EXIT_RUNTIME, "cannot watch the listening socket")

    def run(self) -> Counters:
        """Serve until a signal arrives."""
        # Names of a function are found by index, those of an object by look-up
        wait, serve, counters = self._waiter.wait, self._serve, self._counters
        find, listener = self._connections.get, self._listener.fileno()
        while True:
            ready = wait(REST_S if self._resting else None)
            counters.waits += 1
            counters.events += len(ready)
            accept_now = asked = False
            for fd in ready:
                connection = find(fd)
                if connection is not None:
                    serve(fd, connection)
                elif fd == listener:
                    accept_now = True
                else:
                    asked = True
            # Last, so that no descriptor closed in this batch comes back in it as another one.
            if accept_now:
                self._accept_some()
            elif self._resting:
                self._end_rest()
            # After the batch, so that the counters tell of whole batches.
            if asked and self._signals.is_stop(counters):
                return counters

    def _serve(self, fd: int, connection: Connection) -> None:
        want = TURN
        for _ in range(self._waiter.turns_max):
            want = connection.turn(self._counters)
            if want != TURN:
                break
        if want == OVER:
            del self._connections[fd]
            self._waiter.remove(fd)
            self._finish(connection.socket)
        else:
            self._waiter.want(fd, want)

    def _accept_some(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                self._waiter.want(self._listener.fileno(), READ)
                return
            except OSError as error:
                if error.errno in WENT_AWAY:
                    continue
                if error.errno in NO_ROOM:
                    self._begin_rest()
                    return
                raise Fault(EXIT_RUNTIME, f"accept: {error.strerror}") from None
            self._open(accepted)
        self._waiter.want(self._listener.fileno(), TURN)

    def _open(self, accepted: socket.socket) -> None:
        self._counters.accepted += 1
        accepted.setblocking(False)
        fd = accepted.fileno()
        if self._waiter.add(fd):
            self._connections[fd] = Connection(accepted)
        else:
            self._finish(accepted)  # a wall of the mechanism: refused, the others are served on

    def _finish(self, accepted: socket.socket) -> None:
        # Counted before the peer can see the end, so whoever has seen it finds it counted.
        self._counters.closed += 1
        accepted.close()
        self._rest_until_s = 0.0

    def _begin_rest(self) -> None:
        # No descriptor or no memory for the next connection. It stays queued, and a listener that
        # is watched would report it again at once, for ever: so it is not watched for a while.
        self._waiter.remove(self._listener.fileno())
        self._resting = True
        self._rest_until_s = time.monotonic() + REST_S

    def _end_rest(self) -> None:
        if time.monotonic() >= self._rest_until_s and self._waiter.add(self._listener.fileno()):
            self._resting = False


def run_event_loop(mechanism: Callable[[], Waiter]) -> int:
    """The main of a server that is one event loop; returns its exit code."""

    def serve(options: Options) -> Counters:
        with listening(options) as listener:
            return Loop(mechanism(), listener, SignalPipe()).run()

    return run_server(serve)
