"""Reads on while output is owed, and keeps all of it."""

import select

from common import Connection, Server


class Bad(Server):
    def __init__(self) -> None:
        super().__init__()
        self.ended: set[Connection] = set()

    def owe(self, connection: Connection, rest: bytes) -> None:
        connection.owed = bytearray(rest)
        self.want(connection, select.EPOLLIN | select.EPOLLOUT)

    def on_event(self, connection: Connection, events: int) -> None:
        if connection.owed:
            self.flush(connection)
        if connection.fd in self.connections and connection not in self.ended:
            self.read(connection)

    def echo(self, connection: Connection, data: bytes) -> None:
        if connection.owed:
            connection.owed += data
        else:
            super().echo(connection, data)

    def flush(self, connection: Connection) -> None:
        sent = self.send(connection, bytes(connection.owed[: 1 << 18]))
        if sent is None:
            return
        assert isinstance(connection.owed, bytearray)  # by owe()
        del connection.owed[:sent]
        if connection.owed:
            return
        connection.owed = b""
        if connection in self.ended:
            self.ended.remove(connection)
            self.close(connection)
        else:
            self.want(connection, select.EPOLLIN)

    def on_broken(self, connection: Connection) -> None:
        connection.owed = b""
        super().on_broken(connection)

    def close(self, connection: Connection) -> None:
        if connection.owed:
            self.ended.add(connection)
            self.want(connection, select.EPOLLOUT)
        else:
            super().close(connection)


if __name__ == "__main__":
    Bad.main()
