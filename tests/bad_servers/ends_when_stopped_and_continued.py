"""Takes an interrupted wait (EINTR after SIGCONT) for the end."""

import signal

from common import Server


class Bad(Server):
    def on_signals(self) -> None:
        super().on_signals()
        signal.signal(signal.SIGCONT, self.stop)


if __name__ == "__main__":
    Bad.main()
