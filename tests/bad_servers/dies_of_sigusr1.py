"""Declares counters and has no handler of SIGUSR1, so that it is ended by it."""

import signal

from common import Server


class Bad(Server):
    def on_signals(self) -> None:
        super().on_signals()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


if __name__ == "__main__":
    Bad.main()
