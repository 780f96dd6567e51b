"""Remembers what a descriptor is owed when its connection has ended."""

import socket

from common import READ_BYTES, Connection, Server


class Bad(Server):
    def __init__(self) -> None:
        super().__init__()
        self.debts: dict[int, bytes] = {}

    def open(self, accepted: socket.socket) -> None:
        super().open(accepted)
        connection = self.connections[accepted.fileno()]
        if debt := self.debts.pop(connection.fd, b""):
            self.owe(connection, debt)

    def send(self, connection: Connection, data: bytes) -> int | None:
        """Send half a read at most, so that the rest is owed whatever the kernel's buffers take."""
        return super().send(connection, data[: READ_BYTES // 2])

    def close(self, connection: Connection) -> None:
        if connection.owed:
            self.debts[connection.fd] = bytes(connection.owed)
        super().close(connection)


if __name__ == "__main__":
    Bad.main()
