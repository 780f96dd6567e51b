#!/usr/bin/env python3
"""uvloop: asyncio's interface on libuv, the event loop of Node.js, by way of Cython.

How it waits: one thread, one level-triggered epoll set, which libuv keeps: every event is handled
in C, and Python is entered for the protocol's callbacks only.

What it costs: recv + send + 1/k of an epoll_wait that reports k. After a read that filled the
buffer, libuv reads on at once, up to 32 times. Python's share is the three callbacks of
c10k/protocol.py, the very file that servers/python-asyncio runs.

The trap: a write is not made where it is asked for but at the end of the loop's iteration, unless
the transport's limit is exceeded. With a limit of 0 (rule 1 of c10k/protocol.py) it is exceeded by
the first byte, so every echo is sent at once, and only what the socket did not take is kept.
"""

import sys

import uvloop
from c10k.protocol import run_protocol

if __name__ == "__main__":
    sys.exit(run_protocol(uvloop.new_event_loop, f"uvloop {uvloop.__version__}"))
