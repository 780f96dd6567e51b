"""Dies of SIGTERM instead of ending at it."""

import signal

from common import Server


class Bad(Server):
    def on_signals(self) -> None:
        super().on_signals()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    Bad.main()
