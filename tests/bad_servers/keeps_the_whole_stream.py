"""Collects all that a connection has said."""

from common import Connection, Server


class Bad(Server):
    def __init__(self) -> None:
        super().__init__()
        self.said: dict[int, list[bytes]] = {}

    def echo(self, connection: Connection, data: bytes) -> None:
        self.said.setdefault(connection.fd, []).append(data)
        super().echo(connection, data)

    def close(self, connection: Connection) -> None:
        self.said.pop(connection.fd, None)
        super().close(connection)


if __name__ == "__main__":
    Bad.main()
