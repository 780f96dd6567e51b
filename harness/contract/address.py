"""Where the server listens: `tcp://127.0.0.1:7000`, `tcp://[::1]:7000` or `unix:///path`."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

_TCP = re.compile(r"^tcp://(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})$")


@dataclass(frozen=True, slots=True)
class Address:
    """One listening address. `port` is None for AF_UNIX, `path` is None for TCP."""

    text: str
    family: socket.AddressFamily
    host: str | None = None
    port: int | None = None
    path: str | None = None

    @property
    def target(self) -> tuple[str, int] | str:
        """What `connect()` wants."""
        if self.path is not None:
            return self.path
        assert self.host is not None  # noqa: S101 (parse sets host and port together)
        assert self.port is not None  # noqa: S101
        return (self.host, self.port)


def parse(text: str) -> Address:
    """Read an address. Raises ValueError that shows the text and the forms there are."""
    if text.startswith("unix:///"):
        return Address(text, socket.AF_UNIX, path=text.removeprefix("unix://"))
    match = _TCP.match(text)
    if match is None or not 0 < int(match["port"]) < 65536:
        forms = "tcp://127.0.0.1:PORT, tcp://[::1]:PORT or unix:///PATH"
        raise ValueError(f"{text!r} is not an address: use {forms}")
    if match["six"]:
        return Address(text, socket.AF_INET6, host=match["six"], port=int(match["port"]))
    return Address(text, socket.AF_INET, host=match["four"], port=int(match["port"]))
