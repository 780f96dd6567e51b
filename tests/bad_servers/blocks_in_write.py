"""Waits for one slow reader in the middle of the loop."""

from common import Connection, Server


class Bad(Server):
    def owe(self, connection: Connection, rest: bytes) -> None:
        connection.socket.setblocking(True)
        try:
            connection.socket.sendall(rest)
        except OSError:
            self.on_broken(connection)
            return
        connection.socket.setblocking(False)
        self.counters["bytes_out"] += len(rest)


if __name__ == "__main__":
    Bad.main()
