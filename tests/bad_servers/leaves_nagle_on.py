"""Does not set TCP_NODELAY."""

import socket

from common import Server


class Bad(Server):
    def prepare_listener(self, listener: socket.socket) -> None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


if __name__ == "__main__":
    Bad.main()
