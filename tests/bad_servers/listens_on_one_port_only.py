"""Takes its port from the code: the first one of the ten in which its LISTEN is."""

import socket

from common import Server


class Bad(Server):
    def listen(self, address: str, backlog: int) -> socket.socket:
        port = int(address.rpartition(":")[2]) // 10 * 10
        return super().listen(f"tcp://0.0.0.0:{port}", backlog)


if __name__ == "__main__":
    Bad.main()
