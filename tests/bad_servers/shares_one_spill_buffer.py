"""All connections keep what they owe in one place."""

from common import Connection, Server


class Bad(Server):
    spill = b""

    def owe(self, connection: Connection, rest: bytes) -> None:
        super().owe(connection, rest)
        self.spill = rest

    def flush(self, connection: Connection) -> None:
        """What is left ends where the one place ends; who came last has written over it."""
        own = max(0, len(connection.owed) - len(self.spill))
        shared = len(connection.owed) - own
        connection.owed = connection.owed[:own] + self.spill[len(self.spill) - shared :]
        super().flush(connection)


if __name__ == "__main__":
    Bad.main()
