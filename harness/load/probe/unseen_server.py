"""A server whose processes are not looked into: it was running before, maybe as another user's.

Nothing is known of its CPU time and memory. Whether it still listens, and how many connections
the kernel holds, is known wherever its socket is in this network namespace.
"""

from __future__ import annotations

from harness.contract.address import Address
from harness.host import sockets
from harness.load.probe.readings import Probe, ServerGone


class Unseen(Probe):
    """A probe without processes. Made before the first connection to the server."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, ())
        self._server = address
        # Behind a port that the engine of containers forwards, or on another host, nobody is seen
        self._is_here = bool(sockets.listeners(address))
        # Other clients of a server in use: theirs are not ours to wait for
        self._others = self._open()

    def check_alive(self) -> None:
        """Raise ServerGone when a listener that was seen is there no more."""
        if self._is_here and not sockets.listeners(self._server):
            raise ServerGone(f"nobody listens on {self._server.text} any more")

    def established(self) -> int:
        """ESTABLISHED sockets of the server's end, of ours where its end is not seen."""
        if self._is_here:
            return super().established()
        return sockets.connected(self._server)

    def still_open(self) -> int:
        """How many more connections are open at the server's end than before this trial."""
        return max(0, self._open() - self._others)

    def _open(self) -> int:
        return super().still_open() if self._is_here else 0
