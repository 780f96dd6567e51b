"""Has a table of 1,024 descriptors and does not look where it ends."""

import socket

from common import Server


class Bad(Server):
    def open(self, accepted: socket.socket) -> None:
        if accepted.fileno() >= 1024:
            raise SystemExit(134)
        super().open(accepted)


if __name__ == "__main__":
    Bad.main()
