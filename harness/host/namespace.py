"""Set up the private network namespace of this process: loopback, sysctls, limits.

`python -m harness.host.namespace` brings loopback up, prints `up` and waits for the end of its
input. A backend uses it to test whether a namespace that it makes is usable.

Failures are recorded and never fatal. The report has the requested and the effective values, and
the harness judges the difference.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

# Printed by `python -m harness.host.namespace` when its namespace is usable.
IS_UP = b"up\n"
# linux/sockios.h and linux/if.h
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ_FLAGS = "16sH22x"  # struct ifreq: the name, then the flags in a union of 24 bytes

_SYSCTL_ROOT = Path("/proc/sys")


def loopback_up() -> None:
    """Bring `lo` up, which is down in a new network namespace. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack(_IFREQ_FLAGS, b"lo", 0))
        flags = struct.unpack(_IFREQ_FLAGS, request)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack(_IFREQ_FLAGS, b"lo", flags | _IFF_UP))


def prepare(sysctls: Mapping[str, str]) -> None:
    """Bring loopback up and write the sysctls; log on stderr what the kernel refuses."""
    try:
        loopback_up()
    except OSError as error:
        print(f"cannot bring lo up: {error.strerror}", file=sys.stderr)
    for name, value in sysctls.items():
        try:
            _path(name).write_text(value)
        except OSError as error:
            print(f"cannot set {name}={value}: {error.strerror}", file=sys.stderr)


def read_back(names: Iterable[str]) -> dict[str, str | None]:
    """Read each sysctl, with single blanks between values; None where it is not readable."""
    values: dict[str, str | None] = {}
    for name in names:
        try:
            values[name] = " ".join(_path(name).read_text().split())
        except OSError:
            values[name] = None
    return values


def raise_nofile() -> tuple[int, int]:
    """Raise the soft limit of open files to the hard one; return the resulting (soft, hard)."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def pin(cpus: Iterable[int]) -> list[int]:
    """Pin this process to those of `cpus` that it may use; return the resulting CPUs."""
    granted = os.sched_getaffinity(0) & set(cpus)
    if granted:
        os.sched_setaffinity(0, granted)
    return sorted(os.sched_getaffinity(0))


def _path(name: str) -> Path:
    return _SYSCTL_ROOT / name.replace(".", "/")


if __name__ == "__main__":
    loopback_up()
    os.write(1, IS_UP)
    sys.stdin.read()
