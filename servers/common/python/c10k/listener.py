"""The listening socket, from address to accepted connection, the same for every mechanism."""

from __future__ import annotations

import errno
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from c10k.options import EXIT_RUNTIME, Fault, Options

# Linux hands the new socket's own pending network error to accept: see accept(2). This one went
# away while it was queued; the next may be fine.
WENT_AWAY = {
    errno.ECONNABORTED,
    errno.EPERM,
    errno.EPROTO,
    errno.ENETDOWN,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.ENONET,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
}
# No descriptor or no memory: it stays queued, and asking again at once would spin.
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@contextmanager
def listening(options: Options) -> Iterator[socket.socket]:
    """Open, bind and listen; at the end close, and remove the path of a unix:// address.

    Raises:
        Fault: names the address, when the kernel refuses.
    """
    path = options.address if isinstance(options.address, str) else None
    with socket.socket(options.family, socket.SOCK_STREAM) as listener:
        if path is None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted sockets inherit it on Linux (the listener's tcp_sock is cloned): no system
            # call per connection.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if options.family == socket.AF_INET6:
            # An address means what it says, whatever net.ipv6.bindv6only is: [::] is IPv6 only,
            # 0.0.0.0 is IPv4 only, and both may be served on one port by two servers.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            _bind(listener, options, path)
        except OSError as error:
            raise _cannot_listen(options, "bind", error) from None
        try:
            _listen(listener, options)
            yield listener
        finally:
            if path is not None:
                Path(path).unlink(missing_ok=True)


def _cannot_listen(options: Options, call: str, error: OSError) -> Fault:
    return Fault(EXIT_RUNTIME, f"cannot listen on {options.listen}: {call}: {error.strerror}")


def _bind(listener: socket.socket, options: Options, path: str | None) -> None:
    try:
        listener.bind(options.address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or path is None or not _is_stale(path):
            raise
        Path(path).unlink()
        listener.bind(options.address)


def _listen(listener: socket.socket, options: Options) -> None:
    try:
        listener.listen(options.backlog)
    except OSError as error:
        raise _cannot_listen(options, "listen", error) from None


def _is_stale(path: str) -> bool:
    """Whether a socket file was left by a server that was killed, and so may be removed.

    It is a socket and nobody listens behind it: a connect that is refused proves that, any other
    answer does not.
    """
    if not stat.S_ISSOCK(Path(path).lstat().st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED
