"""Asks to be told of urgent data and never takes it."""

import select
import socket

from common import Connection, Server


class Bad(Server):
    def open(self, accepted: socket.socket) -> None:
        super().open(accepted)
        self.want(self.connections[accepted.fileno()], select.EPOLLIN | select.EPOLLPRI)

    def on_event(self, connection: Connection, events: int) -> None:
        if events != select.EPOLLPRI:
            super().on_event(connection, events)


if __name__ == "__main__":
    Bad.main()
