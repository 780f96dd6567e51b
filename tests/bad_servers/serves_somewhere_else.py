"""Listens where it likes when it does not understand where it should."""

import socket

from common import Server


class Bad(Server):
    def listen(self, address: str, backlog: int) -> socket.socket:
        try:
            return super().listen(address, backlog)
        except ValueError:
            return super().listen("tcp://127.0.0.1:9999", backlog)


if __name__ == "__main__":
    Bad.main()
