"""Closes each connection behind its first echo, and does not set SO_REUSEADDR."""

import socket

from common import Connection, Server


class Bad(Server):
    def prepare_listener(self, listener: socket.socket) -> None:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def echo(self, connection: Connection, data: bytes) -> None:
        super().echo(connection, data)
        if connection.fd in self.connections:
            self.close(connection)


if __name__ == "__main__":
    Bad.main()
