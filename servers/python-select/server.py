#!/usr/bin/env python3
"""select: the set of descriptors is handed over whole, and comes back as those that are ready.

How it waits: one collection of descriptors per kind of event. Python makes a bitmap (an fd_set) of
each, the kernel asks each descriptor whose bit is set, and Python makes lists of the bits that are
left.

What it costs: every call is proportional to the descriptors *watched*, several times over: an
object is looked at for each to make the bitmap, the kernel asks it, and each is tested again for
the answer. Per echo: recv + send + 1/k of a select that reports k.

The trap: FD_SETSIZE is 1,024 and counts descriptors, not connections: the standard three, the
listening socket and the signals' two included, that is 1,018 connections. Where C writes behind the
set (servers/select-fdset), Python raises ValueError, "filedescriptor out of range in select()", and
so at every wait from then on. So it is never handed one: a connection above the wall is closed at
once. Python has no way around it, as C has with a bitmap of its own (servers/select).
"""

import select
import sys

from c10k.connection import WRITE
from c10k.loop import run_event_loop

FD_SETSIZE = 1024  # <sys/select.h>; Python does not tell


class Select:
    """The mechanism."""

    # One: what is left in the socket is reported again by the next call.
    turns_max = 1

    def __init__(self):
        self._reading = set()
        self._writing = set()

    def add(self, fd):
        if fd >= FD_SETSIZE:
            return False
        self._reading.add(fd)
        return True

    def want(self, fd, want):
        if want == WRITE:
            self._reading.discard(fd)
            self._writing.add(fd)
        elif fd in self._writing:
            self._writing.remove(fd)
            self._reading.add(fd)

    def remove(self, fd):
        self._reading.discard(fd)
        self._writing.discard(fd)

    def wait(self, timeout_s):
        readable, writable, _ = select.select(self._reading, self._writing, (), timeout_s)
        return readable + writable  # a descriptor is in one set only


if __name__ == "__main__":
    sys.exit(run_event_loop(Select))
