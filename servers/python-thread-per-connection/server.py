#!/usr/bin/env python3
"""A thread per connection: nobody waits for many, everybody waits for one.

How it waits: a blocking recv puts its thread to sleep until this one connection has data; the
scheduler's run queue is the list of those that are ready. The code of a connection reads from top
to bottom, and a slow reader blocks its own send and nobody else.

What it costs: two system calls per echo, recv + send, and none that only waits (so the counters
`waits` and `events` stay 0); instead a switch of threads for each echo that finds its thread
asleep. One thread at a time runs Python: each gives the interpreter's lock back before it sleeps,
and asks for it when it wakes. So threads share one processor, and a wake-up is often two: one for
the data, one for the lock. Per connection a task with its kernel stack, and the interpreter's own:
some 30 KB of user memory.

The traps: whoever waits for the lock wakes up every 5 ms to ask for it, and 10,000 that wait at
once do nothing else any more (SWITCH_S). A default stack has 8 MiB of address space. And Python
hears signals in the main thread only, between two instructions: here that one does nothing but wait
for them, and the others, which start with a copy of its mask, never see any.
"""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

from c10k.listener import NO_ROOM, WENT_AWAY, listening
from c10k.options import EXIT_RUNTIME, Fault
from c10k.server import BUFFER_BYTES, REPORT_SIGNAL, REST_S, SIGNALS, Counters, run_server

# Room that is only addressed: pages that no call reaches are never given memory.
STACK_BYTES = 128 * 1024
# How long a thread waits for the interpreter's lock before it asks who holds it to give it up. Here
# nobody needs to be asked: between two system calls, each of which gives it up, is no work.
SWITCH_S = 1.0
STOP_S_MAX = 1.2  # of the 2 s that are allowed


class Server:
    """One thread accepts, one more serves each connection."""

    def __init__(self, listener):
        self._listener = listener
        self._stopping = False
        self._fault = None
        # Both by descriptor. Counters of its own keep a connection from fighting for a lock with
        # all others; a number is one thread's at a time: close hands it on, accept takes it.
        self._counters = {}
        self._open = {}

    def run(self):
        """Accept in the background until a signal ends it, then end all connections."""
        accepting = threading.Thread(target=self._accept_until_stopped, daemon=True)
        accepting.start()
        while signal.sigwait(SIGNALS) == REPORT_SIGNAL:
            self._sum().report()
        self._stopping = True
        deadline_s = time.monotonic() + STOP_S_MAX
        shut(self._listener)
        accepting.join(STOP_S_MAX / 2)
        # Nothing is opened any more
        for connection in list(self._open.values()):
            shut(connection)
            if time.monotonic() > deadline_s:
                break  # those that were woken are before this thread at the interpreter's lock
        while self._open and time.monotonic() < deadline_s:
            time.sleep(0.001)
        if self._fault is not None:
            raise self._fault
        return self._sum()

    def _accept_until_stopped(self):
        while not self._stopping:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if error.errno in NO_ROOM:
                    time.sleep(REST_S)
                elif error.errno not in WENT_AWAY and not self._stopping:
                    self._fault = Fault(EXIT_RUNTIME, f"accept: {error.strerror}")
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
                    return
            else:
                self._start(connection)

    def _start(self, connection):
        fd = connection.fileno()
        counters = self._counters.setdefault(fd, Counters())
        counters.accepted += 1
        self._open[fd] = connection
        try:
            threading.Thread(target=self._serve, args=(connection, counters), daemon=True).start()
        except RuntimeError:
            # No room for another thread: this peer is refused, the others are served on
            self._end(connection, counters)

    def _serve(self, connection, counters):
        try:
            while data := connection.recv(BUFFER_BYTES):
                counters.bytes_in += len(data)
                sent = connection.send(data)
                counters.bytes_out += sent
                while sent < len(data):  # a signal or a short buffer ended it before
                    more = connection.send(data[sent:])
                    counters.bytes_out += more
                    sent += more
        except OSError:
            pass  # the connection is broken
        finally:
            self._end(connection, counters)

    def _end(self, connection, counters):
        # Counted before the peer can see the end, so whoever has seen it finds it counted.
        if not self._stopping:
            counters.closed += 1
        del self._open[connection.fileno()]
        connection.close()

    def _sum(self):
        total = Counters()
        for counters in list(self._counters.values()):
            total.accepted += counters.accepted
            total.closed += counters.closed
            total.bytes_in += counters.bytes_in
            total.bytes_out += counters.bytes_out
        return total


def shut(connection):
    """Wake the thread of a connection, whatever it waits for."""
    with suppress(OSError):  # it is over already
        connection.shutdown(socket.SHUT_RDWR)


def serve(options):
    threading.stack_size(STACK_BYTES)
    sys.setswitchinterval(SWITCH_S)
    with listening(options) as listener:
        return Server(listener).run()


if __name__ == "__main__":
    # At once: the interpreter's own end would wait for its lock behind all threads that are left
    os._exit(run_server(serve))
