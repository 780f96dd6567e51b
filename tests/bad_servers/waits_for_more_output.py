"""Holds a short reply back for a while, in the hope of more."""

import time

from common import Connection, Server

SHORT_BYTES = 8
HOLD_S = 0.15


class Bad(Server):
    def __init__(self) -> None:
        super().__init__()
        self.held: dict[Connection, tuple[bytes, float]] = {}

    def echo(self, connection: Connection, data: bytes) -> None:
        before, due_s = self.held.pop(connection, (b"", time.monotonic() + HOLD_S))
        if len(before + data) < SHORT_BYTES:
            self.held[connection] = (before + data, due_s)
        else:
            super().echo(connection, before + data)

    def wait_s(self) -> float | None:
        return 0.01 if self.held else super().wait_s()

    def close(self, connection: Connection) -> None:
        self.release(connection)
        if connection.fd in self.connections:
            super().close(connection)

    def turn(self) -> None:
        super().turn()
        for connection, (_, due_s) in list(self.held.items()):
            if due_s <= time.monotonic():
                self.release(connection)

    def release(self, connection: Connection) -> None:
        data, _ = self.held.pop(connection, (b"", 0.0))
        if data:
            super().echo(connection, data)


if __name__ == "__main__":
    Bad.main()
