"""Listens with a quarter of the backlog that it was told."""

import socket

from common import Server


class Bad(Server):
    def listen(self, address: str, backlog: int) -> socket.socket:
        return super().listen(address, backlog // 4)


if __name__ == "__main__":
    Bad.main()
