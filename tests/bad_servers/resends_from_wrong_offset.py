"""Goes on after the second partial write where the first one ended."""

from common import Connection, Server

OWED_BYTES_MAX = 1024


class Bad(Server):
    def send(self, connection: Connection, data: bytes) -> int | None:
        """Send little of what is owed, so that a partial write is followed by another."""
        return super().send(connection, data[:OWED_BYTES_MAX] if connection.owed else data)

    def flush(self, connection: Connection) -> None:
        owed = connection.owed
        super().flush(connection)
        if connection.owed and len(connection.owed) < len(owed):
            connection.owed = owed[-len(connection.owed) - 1 : -1]


if __name__ == "__main__":
    Bad.main()
