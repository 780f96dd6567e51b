"""Forgets a connection that was reset without closing it."""

import socket

from common import Connection, Server

FORGOTTEN: list[socket.socket] = []


class Bad(Server):
    def on_broken(self, connection: Connection) -> None:
        del self.connections[connection.fd]
        self.poll.unregister(connection.fd)
        FORGOTTEN.append(connection.socket)


if __name__ == "__main__":
    Bad.main()
