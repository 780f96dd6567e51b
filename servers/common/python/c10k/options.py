"""What the environment asks of a server: LISTEN and BACKLOG, and nothing else."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

# The backlog is the kernel's own default of net.core.somaxconn since 5.4, which silently caps
# whatever is asked.
LISTEN_DEFAULT = "tcp://0.0.0.0:7000"
BACKLOG_DEFAULT = "4096"
BACKLOG_MAX = 65535

PATH_BYTES_MAX = 107  # sun_path in <sys/un.h>, less the zero at its end

EXIT_RUNTIME = 1
EXIT_USAGE = 2


class Fault(Exception):
    """A reason to give up, in one line for stderr, with the exit code that goes with it."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Options:
    """The two values, as `socket` takes them."""

    listen: str  # as it was written, for messages
    family: socket.AddressFamily
    address: tuple[str, int] | str
    backlog: int


def options_from_environment() -> Options:
    """LISTEN and BACKLOG, with the defaults for what is not set. Raises Fault."""
    return parse_options(
        os.environ.get("LISTEN", LISTEN_DEFAULT), os.environ.get("BACKLOG", BACKLOG_DEFAULT)
    )


def parse_options(listen: str, backlog: str) -> Options:
    """Parse the two values. Raises Fault that names the value and what is expected."""
    kind, found, rest = listen.partition("://")
    address: tuple[str, int] | str
    try:
        if found and kind == "tcp":
            family, address = _parse_tcp(rest)
        elif found and kind == "unix":
            family, address = socket.AF_UNIX, _parse_path(rest)
        else:
            raise ValueError("unknown kind of address")
    except ValueError as problem:
        raise Fault(
            EXIT_USAGE,
            f"LISTEN='{listen}': {problem}; "
            "expected tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH",
        ) from None
    length = _parse_integer(backlog, BACKLOG_MAX)
    if length is None:
        raise Fault(EXIT_USAGE, f"BACKLOG='{backlog}': expected a number from 1 to {BACKLOG_MAX}")
    return Options(listen, family, address, length)


def _parse_tcp(rest: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    # Only literal addresses: a name that resolves to something else tomorrow is no fixed set-up.
    host, colon, digits = rest.rpartition(":")
    if not colon:
        raise ValueError("no port")
    port = _parse_integer(digits, 65535)
    if port is None:
        raise ValueError("the port is not a number from 1 to 65535")
    family, version = socket.AF_INET, 4
    if host.startswith("[") and host.endswith("]"):
        family, version, host = socket.AF_INET6, 6, host[1:-1]
    try:
        socket.inet_pton(family, host)
    except OSError:
        raise ValueError(f"'{host}' is not an IPv{version} address") from None
    return family, (host, port)


def _parse_path(path: str) -> str:
    if len(path) < 2 or not path.startswith("/"):
        raise ValueError("the path is not absolute")
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise ValueError(f"the path is longer than {PATH_BYTES_MAX} bytes")
    return path


def _parse_integer(text: str, highest: int) -> int | None:
    """A number from 1 to `highest`, None for anything else."""
    # int() alone would take blanks, underscores and the digits of all scripts
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= highest:
        return None
    return int(text)
