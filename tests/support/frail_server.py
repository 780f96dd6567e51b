"""An echo server for tests: right by default, wrong in one way when asked.

python frail_server.py PORT [--wrong | --silent | --corrupt-after BYTES | --hold CONNECTIONS
                                | --drop-every CONNECTIONS | --drop-first | --delay SECONDS
                                | --trickle | --once | --deafens]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--wrong", action="store_true", help="answer with other bytes")
parser.add_argument("--silent", action="store_true", help="accept, and never answer")
parser.add_argument("--corrupt-after", type=int, help="flip one bit after this many bytes")
parser.add_argument("--hold", type=int, help="close every connection beyond this many")
parser.add_argument("--drop-every", type=int, help="close every n-th one at its first bytes")
parser.add_argument("--drop-first", action="store_true", help="close the first at its first bytes")
parser.add_argument("--delay", type=float, default=0.0, help="answer so many seconds later")
parser.add_argument("--trickle", action="store_true", help="answer one byte every half second")
parser.add_argument("--once", action="store_true", help="close each connection after one answer")
parser.add_argument("--deafens", action="store_true", help="listen until the first connection")
options = parser.parse_args()


class Echo(asyncio.Protocol):
    """One connection."""

    server: asyncio.Server
    held = 0
    accepted = 0
    owed = b""
    echoed_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        Echo.held += 1
        Echo.accepted += 1
        if options.deafens:
            self.server.close()
        self.is_doomed = bool(options.drop_every and Echo.accepted % options.drop_every == 0)
        self.is_doomed |= options.drop_first and Echo.accepted == 1
        if options.hold is not None and Echo.held > options.hold:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        Echo.held -= 1

    def data_received(self, data: bytes) -> None:
        if self.is_doomed:
            self.transport.close()
        if options.silent or self.is_doomed:
            return
        first = Echo.echoed_bytes
        Echo.echoed_bytes += len(data)
        if options.wrong:
            data = bytes(byte ^ 0xFF for byte in data)
        if options.corrupt_after is not None and first <= options.corrupt_after < Echo.echoed_bytes:
            wrong = bytearray(data)
            wrong[options.corrupt_after - first] ^= 1
            data = bytes(wrong)
        if options.trickle:
            self.owed += data
            if len(self.owed) == len(data):
                self.drip()
        elif options.once:
            self.transport.write(data)
            self.transport.close()
        elif options.delay:
            asyncio.get_running_loop().call_later(options.delay, self.transport.write, data)
        else:
            self.transport.write(data)

    def drip(self) -> None:
        """Send one byte, and the next one half a second later."""
        if self.owed:
            self.transport.write(self.owed[:1])
            self.owed = self.owed[1:]
            asyncio.get_running_loop().call_later(0.5, self.drip)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    listener = socket.create_server(("127.0.0.1", options.port), backlog=1024)
    Echo.server = await loop.create_server(Echo, sock=listener)
    await ended.wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(serve())
sys.exit(0)
