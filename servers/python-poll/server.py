#!/usr/bin/env python3
"""poll: the caller keeps the list of descriptors, and hands all of it over at every call.

How it waits: an array of (descriptor, wanted events, returned events). The kernel asks each of them
whether it is ready, and puts the caller on the wait queue of each if none is.

What it costs: every call is proportional to the descriptors *watched*: the array is copied in, each
entry asked, the results copied out, and Python's poll object scans them for those to report. It
does all that in C, so here Python is nearest to its twin (servers/poll).

The trap: the object keeps a dict, and makes the array anew at the first call after any change. One
connection that comes, goes, or is owed something, and the next wait walks through all of them twice
more. So interest is changed for real changes only.
"""

import select
import sys

from c10k.connection import WRITE
from c10k.loop import run_event_loop


class Poll:
    """The mechanism."""

    # One: what is left in the socket is reported again by the next call.
    turns_max = 1

    def __init__(self):
        self._poll = select.poll()
        self._writing = set()  # those that wait for space, the others wait for input

    def add(self, fd):
        self._poll.register(fd, select.POLLIN)
        return True

    def want(self, fd, want):
        if want == WRITE:
            if fd not in self._writing:
                self._writing.add(fd)
                self._poll.modify(fd, select.POLLOUT)
        elif fd in self._writing:
            self._writing.remove(fd)
            self._poll.modify(fd, select.POLLIN)

    def remove(self, fd):
        self._writing.discard(fd)
        self._poll.unregister(fd)

    def wait(self, timeout_s):
        # POLLERR and POLLHUP come unasked: whatever the events are, recv or send finds out.
        timeout_ms = None if timeout_s is None else timeout_s * 1000
        return [fd for fd, _ in self._poll.poll(timeout_ms)]


if __name__ == "__main__":
    sys.exit(run_event_loop(Poll))
