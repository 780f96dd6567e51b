"""The server on an event loop that comes with Python or from PyPI, by asyncio's protocol API.

Rule 1: what the peer has not taken yet stops the reading. The limit of the transport's buffer is 0,
        so it calls `pause_writing` as soon as it owes anything, and `resume_writing` when it owes
        nothing.
Rule 2: what is read is copied before it is written: the buffer is the same for all connections, and
        a transport may keep what it was given.

`create_server` takes one number for two things: the length of the kernel's queue, and how many
connections asyncio accepts in a turn of its loop. Until gh-151615 it went on asking for all of
those after the first lack of a descriptor, and each refusal set a timer that asks again 1 s later.
With 4,096 such timers a second the server that waits for a descriptor soon uses half of a CPU. So
it is told to accept as many at a time as its twins do (one more from gh-90871 on), and the queue
gets its length from listen(2) afterwards. uvloop accepts until there is nothing left.

There are no counters: no transport tells how much of what it was given a socket has taken.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

from c10k.listener import listening
from c10k.loop import ACCEPTS_MAX
from c10k.options import Options
from c10k.server import BUFFER_BYTES, STOP_SIGNALS, run_server

_buffer = memoryview(bytearray(BUFFER_BYTES))


class Echo(asyncio.BufferedProtocol):
    """One connection."""

    __slots__ = ("_transport",)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Both kinds of loop have set TCP_NODELAY."""
        self._transport = transport
        transport.set_write_buffer_limits(0)

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Where the next read goes: at most one buffer."""
        return _buffer

    def buffer_updated(self, size: int) -> None:
        """Echo what was read."""
        self._transport.write(bytes(_buffer[:size]))

    def pause_writing(self) -> None:
        """The socket is full."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The socket has taken everything."""
        self._transport.resume_reading()

    # At the peer's end the inherited eof_received has the transport send what it owes, then close.


async def _serve_until_stopped(listener: socket.socket, backlog: int) -> None:
    loop = asyncio.get_running_loop()
    # The default is to log an error of each connection, and each lack of descriptors.
    loop.set_exception_handler(lambda *_: None)
    stopped = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    start = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
    await start(Echo, sock=listener, backlog=ACCEPTS_MAX)
    listener.listen(backlog)
    await stopped.wait()


def run_protocol(new_loop: Callable[[], asyncio.AbstractEventLoop], *packages: str) -> int:
    """The main of such a server; returns its exit code."""

    def serve(options: Options) -> None:
        with listening(options) as listener, asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_serve_until_stopped(listener, options.backlog))

    return run_server(serve, *packages)
