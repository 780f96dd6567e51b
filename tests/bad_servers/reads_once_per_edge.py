"""Edge-triggered, but reads only once per event."""

import select
import socket

from common import Connection, Server


class Bad(Server):
    def want(self, connection: Connection, events: int) -> None:
        connection.events = events
        self.poll.modify(connection.fd, events | select.EPOLLET)

    def open(self, accepted: socket.socket) -> None:
        super().open(accepted)
        self.want(self.connections[accepted.fileno()], select.EPOLLIN)


if __name__ == "__main__":
    Bad.main()
