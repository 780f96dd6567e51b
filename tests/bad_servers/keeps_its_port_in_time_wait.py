"""Does not set SO_REUSEADDR."""

import socket

from common import Server


class Bad(Server):
    def prepare_listener(self, listener: socket.socket) -> None:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


if __name__ == "__main__":
    Bad.main()
