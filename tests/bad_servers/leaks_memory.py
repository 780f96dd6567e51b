"""Keeps a record of each connection for ever."""

from common import Connection, Server

RECORDS: list[bytearray] = []


class Bad(Server):
    def close(self, connection: Connection) -> None:
        RECORDS.append(bytearray(4096))
        super().close(connection)


if __name__ == "__main__":
    Bad.main()
