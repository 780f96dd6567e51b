"""Echo servers in this process, one thread per connection, some of them broken on purpose."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

Server = TypeVar("Server", bound="EchoServer")

RECEIVE_BYTES = 65536
BACKLOG = 512
HELLO_BYTES = 64
JOIN_TIMEOUT_S = 10


def reset(peer: socket.socket) -> None:
    """Close with RST instead of FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class EchoServer:
    """Echoes; counts by itself what it received. Subclasses override `answer` to misbehave."""

    def __init__(self, listener: socket.socket, *, accepting: bool = True) -> None:
        self.listener = listener
        self.peers: list[socket.socket] = []
        self.received: list[int] = []  # bytes, per connection in the order of accept
        self.ended: list[threading.Event] = []  # set when the engine closed that connection
        self.accepting = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        if accepting:
            self.accepting.set()
        self._threads[0].start()

    @property
    def bytes_received(self) -> int:
        return sum(self.received)

    def answer(self, index: int, offset: int, data: bytes) -> None:
        """React to the bytes of connection `index` that begin at `offset` of its stream."""
        self.peers[index].sendall(data)

    def close(self) -> None:
        self.accepting.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
            assert not thread.is_alive()

    def _accept(self) -> None:
        self.accepting.wait()
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                peer, _ = self.listener.accept()
                if peer.family != socket.AF_UNIX:
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.peers.append(peer)
                self.received.append(0)
                self.ended.append(threading.Event())
                thread = threading.Thread(target=self._serve, args=(len(self.peers) - 1,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, index: int) -> None:
        peer = self.peers[index]
        with contextlib.suppress(OSError), peer:
            while data := peer.recv(RECEIVE_BYTES):
                offset = self.received[index]
                self.received[index] += len(data)
                self.answer(index, offset, data)
        self.ended[index].set()


class FlippingServer(EchoServer):
    """Flips the lowest bit of one byte of the stream of the first connection."""

    flipped_at = 0

    def answer(self, index: int, offset: int, data: bytes) -> None:
        place = self.flipped_at - offset
        if index == 0 and 0 <= place < len(data):
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        super().answer(index, offset, data)


class DroppingServer(EchoServer):
    """Swallows one byte of the stream of the first connection."""

    dropped_at = 0

    def answer(self, index: int, offset: int, data: bytes) -> None:
        place = self.dropped_at - offset
        if index == 0 and 0 <= place < len(data):
            data = data[:place] + data[place + 1 :]
        super().answer(index, offset, data)


class SurplusServer(EchoServer):
    """Sends five bytes too many after the first message that follows the hello."""

    def answer(self, index: int, offset: int, data: bytes) -> None:
        surplus = b"extra" if offset == HELLO_BYTES else b""
        super().answer(index, offset, data + surplus)


class RepeatingServer(EchoServer):
    """Answers every message after the hello with the first of them."""

    first = b""

    def answer(self, index: int, offset: int, data: bytes) -> None:
        if offset == HELLO_BYTES:
            self.first = data
        super().answer(index, offset, self.first or data)


class SwappingServer(EchoServer):
    """Once two connections have said hello, answers each with the other's bytes."""

    def __init__(self, listener: socket.socket) -> None:
        self._both = threading.Barrier(2)
        self._waiting: dict[int, bytes] = {}
        super().__init__(listener)

    def answer(self, index: int, offset: int, data: bytes) -> None:
        if offset >= HELLO_BYTES:
            self._waiting[index] = data
            self._both.wait(JOIN_TIMEOUT_S)
            data = self._waiting[1 - index]
        super().answer(index, offset, data)


class LeavingServer(EchoServer):
    """Ends each connection, by FIN or RST, when it has echoed `leaves_after` bytes."""

    leaves_after = HELLO_BYTES
    by_reset = False

    def answer(self, index: int, offset: int, data: bytes) -> None:
        super().answer(index, offset, data)
        if offset + len(data) < self.leaves_after:
            return
        if self.by_reset:
            reset(self.peers[index])
        else:
            self.peers[index].shutdown(socket.SHUT_RDWR)
            self.peers[index].close()


class StallingServer(EchoServer):
    """Echoes nothing while `moving` is clear."""

    def __init__(self, listener: socket.socket) -> None:
        self.moving = threading.Event()
        self.moving.set()
        super().__init__(listener)

    def answer(self, index: int, offset: int, data: bytes) -> None:
        assert self.moving.wait(JOIN_TIMEOUT_S)
        super().answer(index, offset, data)


def listen_tcp(backlog: int = BACKLOG) -> tuple[str, socket.socket]:
    """The address of a listener on a free port, and the listener."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}", listener


def listen_tcp6() -> tuple[str, socket.socket]:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=BACKLOG)
    return f"tcp://[::1]:{listener.getsockname()[1]}", listener


def listen_unix(directory: Path, backlog: int = BACKLOG) -> tuple[str, socket.socket]:
    path = f"{directory}/listener"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(backlog)
    return f"unix://{path}", listener


@contextlib.contextmanager
def served(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.close()
