#!/usr/bin/env python3
"""epoll, edge-triggered: the kernel tells of changes, and remembering the state is our part.

How it waits: `register` names a descriptor once, for input and output alike, and never again.
Edge-triggered means that `poll` reports a descriptor when something *arrives*, once, and then
forgets it: the report is an edge of the signal, not its level.

What it costs: each report is to be followed until the kernel says EAGAIN. As in C++
(servers/epoll-et) that last empty recv is one more system call: recv + send + recv + 1/k of an
epoll_wait that reports k. In Python it is an exception as well, raised and caught for each echo.

The trap: what was left unread is never reported again. So EOF that comes with data is met by
reading on (a short read proves nothing about the FIN behind it); and who reads on until EAGAIN lets
one flooding peer starve all others. Hence those that are due: a descriptor whose turns are used up
before it was empty is continued after the others had theirs.
"""

import select
import sys

from c10k.connection import TURN
from c10k.loop import run_event_loop

# A longer list saves nothing more: at 1,024 a wait is a thousandth of a call per event.
EVENTS_MAX = 1024


class Epoll:
    """The mechanism."""

    # Up to 64 KiB for one descriptor; an ordinary echo takes two, of which the last is EAGAIN.
    turns_max = 4

    def __init__(self):
        self._epoll = select.epoll()
        self._due = {}  # the next batch, as far as it is known; a dict keeps order, and each once

    def add(self, fd):
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        return True

    # For input and for space the next edge comes by itself; for a turn that was left, none does.
    def want(self, fd, want):
        if want == TURN:
            self._due[fd] = 0

    # It has just had its turn, so it is not due.
    def remove(self, fd):
        self._epoll.unregister(fd)

    def wait(self, timeout_s):
        ready = self._due
        ready.update(self._epoll.poll(0 if ready else timeout_s, EVENTS_MAX))  # pairs (fd, events)
        self._due = {}
        return ready


if __name__ == "__main__":
    sys.exit(run_event_loop(Epoll))
