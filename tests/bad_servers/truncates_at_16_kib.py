"""Reads up to 64 KiB, and echoes the first 16 of them."""

from common import READ_BYTES, Connection, Server


class Bad(Server):
    def read(self, connection: Connection) -> bool:
        try:
            data = connection.socket.recv(4 * READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close(connection)
            return False
        self.counters["bytes_in"] += len(data)
        self.echo(connection, data[:READ_BYTES])
        return True


if __name__ == "__main__":
    Bad.main()
