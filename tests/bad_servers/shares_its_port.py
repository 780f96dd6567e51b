"""Sets SO_REUSEPORT, so that a second one gets half of its connections without a word."""

import socket

from common import Server


class Bad(Server):
    def prepare_listener(self, listener: socket.socket) -> None:
        super().prepare_listener(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


if __name__ == "__main__":
    Bad.main()
