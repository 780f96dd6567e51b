"""Goes on after the second partial write where the first one ended."""

from common import Connection, Server


class Bad(Server):
    def flush(self, connection: Connection) -> None:
        owed = connection.owed
        super().flush(connection)
        if connection.owed and len(connection.owed) < len(owed):
            connection.owed = owed[-len(connection.owed) - 1 : -1]


if __name__ == "__main__":
    Bad.main()
