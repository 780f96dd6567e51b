"""Read the server's sockets from the kernel: its listeners, and how many are ESTABLISHED.

A NETLINK_SOCK_DIAG dump lets the kernel filter on state and source port. /proc/net/tcp would format
20,000 lines for the same answer, because both ends of each connection are in this namespace. That
costs the generator's CPU a tenth of a second in every window.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from harness.contract.address import Address

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 0x1
_NLM_F_DUMP = 0x300
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLMSG_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_INET_DIAG_REQUEST = struct.Struct("=BBBBI48s")  # family, protocol, extensions, pad, states, id
_INET_DIAG_REQ_BYTECODE = 1
_BYTECODE_S_GE = 2
_BYTECODE_S_LE = 3
_BYTECODE_D_GE = 4
_BYTECODE_D_LE = 5
_BYTECODE_OP = struct.Struct("=BBH")  # code, offset when true, offset when false
_PORT = struct.Struct("!H")
_PORT_OFFSET = 4  # of struct inet_diag_msg: family, state, timer, retransmits
_INODE_OFFSET = 68  # 4 + 48 (id) + expires, rqueue, wqueue, uid
_PORT_MAX = 65_535
_DUMP_BYTES = 1 << 16  # more than the kernel puts into one datagram of a dump (32 KiB)


class State(IntEnum):
    """Socket states, as in net/tcp_states.h."""

    ESTABLISHED = 1
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


# The server's end of a connection that the kernel still keeps. TIME_WAIT has no owner any more.
OPEN_STATES = (
    State.ESTABLISHED,
    State.SYN_RECV,
    State.FIN_WAIT1,
    State.FIN_WAIT2,
    State.CLOSE_WAIT,
    State.LAST_ACK,
    State.CLOSING,
)

# State column of /proc/net/unix: SS_CONNECTED of linux/net.h, for accepted sockets
_UNIX_CONNECTED = 3
_UNIX_ACCEPTS = 0x10000  # __SO_ACCEPTCON


def established(address: Address) -> int:
    """Count the ESTABLISHED sockets on the server's port, only the server's ends."""
    if address.path is not None:
        return sum(1 for _ in _unix(address.path, accepts=False))
    return sum(1 for _ in _tcp(address, (State.ESTABLISHED,)))


def connected(address: Address) -> int:
    """Count the ESTABLISHED sockets from here to the server's port: the clients' ends."""
    if address.path is not None:
        return established(address)
    return sum(1 for _ in _tcp(address, (State.ESTABLISHED,), theirs=True))


def still_open(address: Address) -> int:
    """Count the connections whose server end is not closed yet."""
    if address.path is not None:
        return established(address)
    return sum(1 for _ in _tcp(address, OPEN_STATES))


def listeners(address: Address) -> set[int]:
    """Inodes of the sockets that listen on the address's port or path."""
    if address.path is not None:
        return set(_unix(address.path, accepts=True))
    return set(_tcp(address, (State.LISTEN,)))


def ports_of_others() -> list[int]:
    """TCP ports of this network namespace on which a process other than this one listens."""
    own = set(_links("self"))
    found = _found(0, _PORT_MAX, (State.LISTEN,))
    return sorted({port for port, inode in found if f"socket:[{inode}]" not in own})


def listens_elsewhere(address: Address, ports: list[int]) -> str:
    """Say that the server listens on these ports and not on its own; empty if there are none."""
    if not ports or listeners(address):
        return ""
    asked = address.path or address.port
    return f"it listens on {', '.join(map(str, ports))}; LISTEN asked for {asked}"


def holders(inodes: set[int]) -> set[int]:
    """Processes that have one of the sockets open, among those that this process may inspect."""
    if not inodes:  # saves reading every descriptor of every process
        return set()
    links = {f"socket:[{inode}]" for inode in inodes}
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and _holds(entry.name, links):
            found.add(int(entry.name))
    return found


def _holds(pid: str, links: set[str]) -> bool:
    return any(link in links for link in _links(pid))


def _links(pid: str) -> Iterator[str]:
    """Links of a process's descriptors; empty if it has ended or is not readable."""
    try:
        descriptors = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return
    for descriptor in descriptors:
        try:
            yield os.readlink(descriptor.path)  # noqa: PTH115 (10,000 of them)
        except OSError:
            continue


def _tcp(address: Address, states: tuple[State, ...], *, theirs: bool = False) -> Iterator[int]:
    """Inodes of the TCP sockets with the address's port at their own end, in any of `states`.

    With `theirs`, of those with the port at the other end.
    """
    assert address.port is not None  # noqa: S101 (AF_UNIX is answered elsewhere)
    for _, inode in _found(address.port, address.port, states, theirs=theirs):
        yield inode


def _found(
    least: int, most: int, states: tuple[State, ...], *, theirs: bool = False
) -> Iterator[tuple[int, int]]:
    """Own port and inode of the TCP sockets whose own port is in a range.

    Both families are read: a server on `[::]` serves IPv4 clients with AF_INET6 sockets.
    """
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            found = list(_dump(family, least, most, states, theirs))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EPROTONOSUPPORT):
                raise
            found = list(_listed(Path("/proc/net", table), least, most, states, theirs))
        yield from found


def _dump(
    family: int, least: int, most: int, states: tuple[State, ...], theirs: bool = False
) -> Iterator[tuple[int, int]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(5)
        netlink.send(_request(family, least, most, states, theirs))
        while True:
            datagram = netlink.recv(_DUMP_BYTES)
            position = 0
            while position < len(datagram):
                length, kind = _NLMSG_HEADER.unpack_from(datagram, position)[:2]
                if kind == _NLMSG_DONE:
                    return
                body = position + _NLMSG_HEADER.size
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", datagram, body)[0]
                    raise OSError(code, os.strerror(code), "NETLINK_SOCK_DIAG")
                (port,) = _PORT.unpack_from(datagram, body + _PORT_OFFSET)
                (inode,) = struct.unpack_from("=I", datagram, body + _INODE_OFFSET)
                yield port, inode
                position += length + 3 & ~3


def _request(family: int, least: int, most: int, states: tuple[State, ...], theirs: bool) -> bytes:
    """Build a dump request that filters `least <= source port <= most` in inet_diag's bytecode.

    With `theirs`, the filter is on the destination port.

    `ss` compiles the same filter for a port. Offsets count from their own operation: a true test
    continues 8 on, a false one 4 beyond the end, which the kernel takes as "reject".
    """
    at_least, at_most = (
        (_BYTECODE_D_GE, _BYTECODE_D_LE) if theirs else (_BYTECODE_S_GE, _BYTECODE_S_LE)
    )
    filter_ = (
        _BYTECODE_OP.pack(at_least, 8, 20)
        + _BYTECODE_OP.pack(0, 0, least)
        + _BYTECODE_OP.pack(at_most, 8, 12)
        + _BYTECODE_OP.pack(0, 0, most)
    )
    mask = sum(1 << state for state in states)
    body = _INET_DIAG_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, mask, bytes(48))
    body += struct.pack("=HH", 4 + len(filter_), _INET_DIAG_REQ_BYTECODE) + filter_
    return (
        _NLMSG_HEADER.pack(
            _NLMSG_HEADER.size + len(body),
            _SOCK_DIAG_BY_FAMILY,
            _NLM_F_REQUEST | _NLM_F_DUMP,
            1,
            0,
        )
        + body
    )


def _listed(
    table: Path, least: int, most: int, states: tuple[State, ...], theirs: bool = False
) -> Iterator[tuple[int, int]]:
    """The same from /proc/net/tcp or tcp6, for a kernel without inet_diag."""
    try:
        text = table.read_text()
    except OSError:  # this kernel has no IPv6
        return
    for line in text.splitlines()[1:]:
        columns = line.split()
        own, other = (int(columns[end].rpartition(":")[2], 16) for end in (1, 2))
        if least <= (other if theirs else own) <= most and int(columns[3], 16) in states:
            yield own, int(columns[9])


def _unix(path: str, *, accepts: bool) -> Iterator[int]:
    """Inodes from /proc/net/unix: the listener on `path`, or the connections accepted from it.

    An accepted socket has its listener's path; the client's end has none.
    """
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split(maxsplit=7)
        if len(columns) < 8 or columns[7] != path:
            continue
        listens = bool(int(columns[3], 16) & _UNIX_ACCEPTS)
        if listens == accepts and (accepts or int(columns[5], 16) == _UNIX_CONNECTED):
            yield int(columns[6])
