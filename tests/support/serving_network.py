"""A loopback that no other test and no server of the host has a part in."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40  # <linux/sockios.h>, <linux/if.h>

libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def private_network() -> Iterator[None]:
    """Give this thread and what it starts a loopback of its own; the host's, if that is refused."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    entered = libc.unshare(CLONE_NEWNET) == 0
    try:
        if entered:
            with socket.socket() as request:
                flags = struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING)
                fcntl.ioctl(request, SIOCSIFFLAGS, flags)
        yield
    finally:
        if entered:
            assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)
