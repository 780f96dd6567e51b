"""Edge-triggered, and takes a short read for an empty socket: FIN may be there already."""

import select
import socket

from common import READ_BYTES, Connection, Server


class Bad(Server):
    def want(self, connection: Connection, events: int) -> None:
        connection.events = events
        self.poll.modify(connection.fd, events | select.EPOLLET)

    def open(self, accepted: socket.socket) -> None:
        super().open(accepted)
        self.want(self.connections[accepted.fileno()], select.EPOLLIN)

    def read(self, connection: Connection) -> bool:
        while True:
            before = self.counters["bytes_in"]
            if not super().read(connection) or connection.owed:
                return False
            if self.counters["bytes_in"] - before < READ_BYTES:
                return False


if __name__ == "__main__":
    Bad.main()
