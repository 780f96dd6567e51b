"""Has a backlog of its own."""

import socket

from common import Server


class Bad(Server):
    def listen(self, address: str, backlog: int) -> socket.socket:
        return super().listen(address, 4096)


if __name__ == "__main__":
    Bad.main()
