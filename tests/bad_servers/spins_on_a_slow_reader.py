"""Watches for input while it does not read, because output is owed."""

import select

from common import Connection, Server


class Bad(Server):
    def want(self, connection: Connection, events: int) -> None:
        super().want(connection, events | select.EPOLLIN)


if __name__ == "__main__":
    Bad.main()
