"""All connections keep what they owe in one place."""

from common import Connection, Server


class Bad(Server):
    spill = b""

    def owe(self, connection: Connection, rest: bytes) -> None:
        super().owe(connection, rest)
        self.spill = rest

    def flush(self, connection: Connection) -> None:
        size = len(connection.owed)
        if len(self.spill) >= size:
            connection.owed = self.spill[-size:]
        super().flush(connection)


if __name__ == "__main__":
    Bad.main()
