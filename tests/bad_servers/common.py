"""A small echo server that is right, in parts that a bad one replaces.

One thread, one level-triggered epoll set. What a connection owes stops its reading, so it never
owes more than one read. Each file beside this one overrides the part in which its bug is.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

READ_BYTES = 16 * 1024
ACCEPTS_MAX = 64
REST_S = 0.1


def remove_stale(path: str) -> None:
    """Remove a socket that is left of a server that was killed: nobody listens behind it."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            Path(path).unlink()


class Connection:
    """One accepted socket, and what is owed to its peer."""

    __slots__ = ("events", "fd", "messages", "owed", "socket", "touched_s")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.fd = accepted.fileno()
        self.owed: bytes | bytearray = b""
        self.events = select.EPOLLIN
        self.messages = 0
        self.touched_s = time.monotonic()


class Server:
    """The server; `main()` serves until SIGTERM and prints the counters."""

    listener: socket.socket

    def __init__(self) -> None:
        self.poll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.counters = dict.fromkeys(
            ("accepted", "closed", "bytes_in", "bytes_out", "waits", "events"), 0
        )
        self.stopping = False
        self.rest_until_s: float | None = None

    # Start and end

    @classmethod
    def main(cls) -> None:
        """The whole life of the process."""
        server = cls()
        server.on_signals()
        try:
            server.listener = server.listen(os.environ["LISTEN"], int(os.environ["BACKLOG"]))
        except (OSError, ValueError) as error:
            sys.exit(f"cannot listen on {os.environ['LISTEN']}: {error}")
        server.poll.register(server.listener, select.EPOLLIN)
        server.serve()
        server.finish()

    def on_signals(self) -> None:
        """SIGTERM ends the loop, SIGUSR1 is answered; the descriptor wakes the loop up."""
        wake, self.wake = socket.socketpair()
        for end in (wake, self.wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGUSR1, self.report)
        self.poll.register(self.wake, select.EPOLLIN)
        self._waker = wake

    def stop(self, *_: object) -> None:
        """The handler of SIGTERM."""
        self.stopping = True

    def report(self, *_: object) -> None:
        """The handler of SIGUSR1: the counters as they are now."""
        os.write(sys.stderr.fileno(), json.dumps({"counters": self.counters}).encode() + b"\n")

    def finish(self) -> None:
        """The last line on stderr."""
        self.report()

    # Listening

    def listen(self, address: str, backlog: int) -> socket.socket:
        """Open the listening socket; ValueError for an address that is none."""
        kind, _, where = address.partition("://")
        if kind == "unix":
            remove_stale(where)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(where)
        elif kind == "tcp":
            host, _, port = where.rpartition(":")
            six = host.startswith("[")
            listener = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
            self.prepare_listener(listener)
            listener.bind((host.strip("[]"), int(port)))
        else:
            raise ValueError("no kind of address")
        listener.setblocking(False)
        listener.listen(backlog)
        return listener

    def prepare_listener(self, listener: socket.socket) -> None:
        """Options before bind; the accepted sockets inherit TCP_NODELAY."""
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def accept_some(self) -> None:
        """Accept what waits, but not for ever."""
        for _ in range(self.accepts_max()):
            try:
                accepted, _ = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self.on_no_descriptor()
                    return
                continue  # an error of the connection that was to be accepted: accept(2)
            accepted.setblocking(False)
            self.open(accepted)

    def accepts_max(self) -> int:
        """How many to accept at one event."""
        return ACCEPTS_MAX

    def on_no_descriptor(self) -> None:
        """Watch the listener no more, for a moment."""
        self.poll.unregister(self.listener)
        self.rest_until_s = time.monotonic() + REST_S

    def end_rest(self) -> None:
        """Watch the listener again."""
        if self.rest_until_s is not None and time.monotonic() >= self.rest_until_s:
            self.rest_until_s = None
            self.poll.register(self.listener, select.EPOLLIN)

    # The loop

    def serve(self) -> None:
        """Until SIGTERM."""
        while not self.stopping:
            self.turn()

    def turn(self) -> None:
        """One wait, and all that it reports."""
        ready = self.poll.poll(self.wait_s())
        self.counters["waits"] += 1
        self.counters["events"] += len(ready)
        accept_now = False
        for fd, events in ready:
            if fd == self.listener.fileno():
                accept_now = True
            elif fd == self.wake.fileno():
                self.wake.recv(4096)
            elif fd in self.connections:
                self.on_event(self.connections[fd], events)
        # Last, so that no descriptor closed in this batch comes back in it as another connection
        if accept_now:
            self.accept_some()
        self.end_rest()

    def wait_s(self) -> float | None:
        """How long a wait may be."""
        return None if self.rest_until_s is None else REST_S

    def on_event(self, connection: Connection, events: int) -> None:
        """Send what is owed, or read once."""
        if connection.owed:
            self.flush(connection)
        else:
            self.read(connection)

    # Connections

    def open(self, accepted: socket.socket) -> None:
        """Begin to serve a connection."""
        self.counters["accepted"] += 1
        connection = Connection(accepted)
        self.connections[connection.fd] = connection
        self.poll.register(connection.fd, connection.events)

    def want(self, connection: Connection, events: int) -> None:
        """Be told of these events from now on."""
        if connection.events != events:
            connection.events = events
            self.poll.modify(connection.fd, events)

    def read(self, connection: Connection) -> bool:
        """One read and its echo; False when there was nothing or it was the end."""
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            self.on_broken(connection)
            return False
        if not data:
            self.close(connection)
            return False
        connection.messages += 1
        self.counters["bytes_in"] += len(data)
        self.echo(connection, data)
        return connection.fd in self.connections

    def echo(self, connection: Connection, data: bytes) -> None:
        """Send what was read, and owe the rest."""
        sent = self.send(connection, data)
        if sent is not None and sent < len(data):
            self.owe(connection, data[sent:])

    def owe(self, connection: Connection, rest: bytes) -> None:
        """Keep what the socket did not take, and read no more before it is gone."""
        connection.owed = rest
        self.want(connection, select.EPOLLOUT)

    def flush(self, connection: Connection) -> None:
        """Send on what is owed."""
        sent = self.send(connection, bytes(connection.owed))
        if sent is None:
            return
        connection.owed = connection.owed[sent:]
        if not connection.owed:
            self.want(connection, select.EPOLLIN)

    def send(self, connection: Connection, data: bytes) -> int | None:
        """How much the socket took; None when the connection is broken, and closed."""
        try:
            sent = connection.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.on_broken(connection)
            return None
        self.counters["bytes_out"] += sent
        return sent

    def on_broken(self, connection: Connection) -> None:
        """The peer has reset the connection."""
        self.close(connection)

    def close(self, connection: Connection) -> None:
        """End a connection."""
        del self.connections[connection.fd]
        self.counters["closed"] += 1
        connection.socket.close()
