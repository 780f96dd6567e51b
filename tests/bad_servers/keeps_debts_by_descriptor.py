"""Remembers what a descriptor is owed when its connection has ended."""

from common import Connection, Server


class Bad(Server):
    def __init__(self) -> None:
        super().__init__()
        self.debts = {}

    def open(self, accepted) -> None:
        super().open(accepted)
        connection = self.connections[accepted.fileno()]
        if debt := self.debts.pop(connection.fd, b""):
            self.owe(connection, debt)

    def close(self, connection: Connection) -> None:
        if connection.owed:
            self.debts[connection.fd] = connection.owed
        super().close(connection)


if __name__ == "__main__":
    Bad.main()
