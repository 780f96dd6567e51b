"""Loses a byte of a message that fills a page but for one byte."""

from common import Connection, Server


class Bad(Server):
    def echo(self, connection: Connection, data: bytes) -> None:
        super().echo(connection, data[:-1] if len(data) == 4095 else data)


if __name__ == "__main__":
    Bad.main()
