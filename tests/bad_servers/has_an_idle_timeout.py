"""Closes who has said nothing for 1.5 seconds."""

import time

from common import Connection, Server

IDLE_S = 1.5


class Bad(Server):
    swept_s = 0.0

    def wait_s(self) -> float:
        return 0.25

    def on_event(self, connection: Connection, events: int) -> None:
        connection.touched_s = time.monotonic()
        super().on_event(connection, events)

    def turn(self) -> None:
        super().turn()
        now_s = time.monotonic()
        if now_s - self.swept_s > 0.25:
            self.swept_s = now_s
            for connection in list(self.connections.values()):
                if not connection.owed and now_s - connection.touched_s > IDLE_S:
                    self.close(connection)


if __name__ == "__main__":
    Bad.main()
