"""Numbers the short messages of a connection, and its table has a thousand places."""

from common import Connection, Server


class Bad(Server):
    def echo(self, connection: Connection, data: bytes) -> None:
        if len(data) <= 64 and connection.messages == 1000:
            data = data[:-1] + bytes([data[-1] ^ 1])
        super().echo(connection, data)


if __name__ == "__main__":
    Bad.main()
