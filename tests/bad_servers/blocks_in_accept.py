"""Accepts the next one, and waits for it, when the one that was accepted is gone already."""

import socket

from common import Server


class Bad(Server):
    def open(self, accepted: socket.socket) -> None:
        try:
            accepted.getpeername()
        except OSError:
            self.listener.setblocking(True)
            accepted.close()
            accepted, _ = self.listener.accept()
            self.listener.setblocking(False)
            accepted.setblocking(False)
        super().open(accepted)


if __name__ == "__main__":
    Bad.main()
