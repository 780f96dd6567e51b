"""Closes when the peer has half-closed, whatever it still owes it."""

import select

from common import Connection, Server


class Bad(Server):
    def want(self, connection: Connection, events: int) -> None:
        super().want(connection, events | select.EPOLLRDHUP)

    def on_event(self, connection: Connection, events: int) -> None:
        if connection.owed and events & select.EPOLLRDHUP:
            self.close(connection)
        else:
            super().on_event(connection, events)


if __name__ == "__main__":
    Bad.main()
