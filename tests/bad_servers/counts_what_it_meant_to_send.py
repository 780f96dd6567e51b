"""Counts what it is to send, and once more what it sends later."""

from common import Connection, Server


class Bad(Server):
    def owe(self, connection: Connection, rest: bytes) -> None:
        super().owe(connection, rest)
        self.counters["bytes_out"] += len(rest)


if __name__ == "__main__":
    Bad.main()
