"""Serves with a worker beside it, which it does not tell of SIGTERM."""

import os
import signal

from common import Server


class Bad(Server):
    def serve(self) -> None:
        if os.fork() == 0:
            super().__init__()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.poll.register(self.listener, 1)
        super().serve()


if __name__ == "__main__":
    Bad.main()
