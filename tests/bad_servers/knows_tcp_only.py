"""Does not know unix://."""

import socket

from common import Server


class Bad(Server):
    def listen(self, address: str, backlog: int) -> socket.socket:
        if address.startswith("unix:"):
            raise ValueError("not a TCP address")
        return super().listen(address, backlog)


if __name__ == "__main__":
    Bad.main()
