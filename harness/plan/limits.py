"""Compute the limits that a trial asks of the kernel, and clamp them to what the host grants.

Pure: the caller passes the values that the host grants.
"""

from __future__ import annotations

from dataclasses import dataclass

# Descriptors besides the connections: listener, epoll, signals, stdio, libraries, and a margin.
NOFILE_MARGIN = 200
# Linux silently truncates a backlog to net.core.somaxconn (listen(2)), so both are set.
BACKLOG = 16_384

# These are per network namespace, so nothing on the host changes (Documentation/networking/
# ip-sysctl.rst). The port range gives 55,000 ports for each pair of addresses; the server's port
# is below it. IPv6 is switched on, because engines start a private namespace without it.
SYSCTLS: dict[str, str] = {
    "net.core.somaxconn": str(BACKLOG),
    "net.ipv4.tcp_max_syn_backlog": str(BACKLOG),
    "net.ipv4.ip_local_port_range": "10240 65535",
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.lo.disable_ipv6": "0",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The limits of server and load that the plan asks for."""

    connections: int
    nofile: int
    pids: int

    @classmethod
    def for_connections(cls, connections_max: int) -> Asked:
        """The limits for `connections_max` open connections, with a thread for each."""
        limit = connections_max + NOFILE_MARGIN
        return cls(connections=connections_max, nofile=limit, pids=limit)


@dataclass(frozen=True, slots=True)
class Clamp:
    """A request that the host did not grant."""

    name: str
    asked: int
    granted: int

    def __str__(self) -> str:
        return f"{self.name}: asked for {self.asked:,}, granted {self.granted:,}"


def clamp(name: str, asked: int, granted_max: int) -> tuple[int, Clamp | None]:
    """Return the part of `asked` that the host grants, at most `granted_max`."""
    if asked <= granted_max:
        return asked, None
    return granted_max, Clamp(name, asked, granted_max)
