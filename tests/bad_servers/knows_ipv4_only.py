"""Does not know IPv6."""

import socket

from common import Server


class Bad(Server):
    def listen(self, address: str, backlog: int) -> socket.socket:
        if "[" in address:
            raise ValueError("not an IPv4 address")
        return super().listen(address, backlog)


if __name__ == "__main__":
    Bad.main()
