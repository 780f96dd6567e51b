#!/usr/bin/env python3
"""asyncio: the event loop of the standard library, with callbacks for each connection.

How it waits: one thread, one level-triggered epoll set (`selectors.EpollSelector`). Each event is
put on a queue as a callback, and the loop runs what is queued between two waits.

What it costs: the same system calls as servers/python-epoll-lt, recv + send + 1/k of an epoll_wait
that reports k. Around them, in Python: a callback that is queued and run in a context of its own
for each event, and a transport that offers much more than an echo needs.

The trap: `transport.write` never blocks and never refuses. Who does not listen to `pause_writing`
buffers without bound what a slow reader does not take. Protocols (c10k/protocol.py) are used here
and not streams: a coroutine per connection would be a task to suspend and to wake for each echo.
"""

import asyncio
import sys

from c10k.protocol import run_protocol

if __name__ == "__main__":
    sys.exit(run_protocol(asyncio.new_event_loop))
