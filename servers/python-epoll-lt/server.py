#!/usr/bin/env python3
"""epoll, level-triggered: the kernel keeps the list of descriptors and of those that are ready.

How it waits: `register` names a descriptor once; from then on every arrival of data puts it on the
kernel's ready list, and `poll` copies out that list. Level-triggered means that a descriptor is
reported again and again as long as it is ready, so one read per report is enough.

What it costs: as in C++ (servers/epoll-lt), recv + send + 1/k of an epoll_wait that reports k. What
Python adds is per call, not per connection: an object for each event, a slice of the buffer and
some hundred instructions of the interpreter for each echo.

The trap: level-triggered interest in writing is true nearly always. Who leaves EPOLLOUT on is woken
without end by idle connections; here it is on only while output is owed.
"""

import select
import sys

from c10k.connection import WRITE
from c10k.loop import run_event_loop

# A longer list saves nothing more: at 1,024 a wait is a thousandth of a call per event.
EVENTS_MAX = 1024


class Epoll:
    """The mechanism."""

    # One: what is left in the socket is reported again by itself.
    turns_max = 1

    def __init__(self):
        self._epoll = select.epoll()
        self._writing = set()  # those that wait for space, the others wait for input

    def add(self, fd):
        self._epoll.register(fd, select.EPOLLIN)
        return True

    def want(self, fd, want):
        if want == WRITE:
            if fd not in self._writing:
                self._writing.add(fd)
                self._epoll.modify(fd, select.EPOLLOUT)
        elif fd in self._writing:
            self._writing.remove(fd)
            self._epoll.modify(fd, select.EPOLLIN)

    def remove(self, fd):
        self._writing.discard(fd)
        self._epoll.unregister(fd)

    def wait(self, timeout_s):
        return [fd for fd, _ in self._epoll.poll(timeout_s, EVENTS_MAX)]


if __name__ == "__main__":
    sys.exit(run_event_loop(Epoll))
