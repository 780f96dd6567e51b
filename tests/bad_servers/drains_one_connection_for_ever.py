"""Serves a connection as long as it has something, and the others later."""

import select

from common import Connection, Server

PATIENCE_MS = 20


class Bad(Server):
    def on_event(self, connection: Connection, events: int) -> None:
        more = select.poll()
        more.register(connection.fd)
        patience_ms = 0
        while True:
            super().on_event(connection, events)
            if connection.fd not in self.connections:
                return
            more.modify(connection.fd, connection.events)
            if not more.poll(patience_ms):
                return
            patience_ms = PATIENCE_MS


if __name__ == "__main__":
    Bad.main()
