"""Serves a connection that sends faster than it reads as long as that has something."""

import select

from common import Connection, Server

# A message of everybody's is less; from here on it is a flood, for whose pauses this server waits.
FLOOD_BYTES = 65_536
PATIENCE_MS = 50


class Bad(Server):
    def on_event(self, connection: Connection, events: int) -> None:
        more = select.poll()
        more.register(connection.fd)
        before_bytes = self.counters["bytes_in"]
        while True:
            super().on_event(connection, events)
            if connection.fd not in self.connections:
                return
            more.modify(connection.fd, connection.events)
            is_flood = self.counters["bytes_in"] - before_bytes > FLOOD_BYTES
            if not more.poll(PATIENCE_MS if is_flood else 0):
                return


if __name__ == "__main__":
    Bad.main()
