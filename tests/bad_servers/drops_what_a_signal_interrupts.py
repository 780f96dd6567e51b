"""Takes an interrupted call for a failed one, and goes on without what it had read."""

import signal

from common import Connection, Server


class Bad(Server):
    interrupted = False

    def on_signals(self) -> None:
        super().on_signals()
        signal.signal(signal.SIGWINCH, self.interrupt)

    def interrupt(self, *_: object) -> None:
        self.interrupted = True

    def echo(self, connection: Connection, data: bytes) -> None:
        if self.interrupted:
            self.interrupted = False
        else:
            super().echo(connection, data)


if __name__ == "__main__":
    Bad.main()
