"""No bug: a parent and two workers that accept from one listener; one that dies is replaced."""

import os
import signal

from common import Server

WORKERS = 2


class Workers(Server):
    def serve(self) -> None:
        self.workers: set[int] = set()
        self.parent = True
        signal.signal(signal.SIGTERM, self.stop_all)
        while not self.stopping:
            while len(self.workers) < WORKERS and not self.stopping:
                self.start_worker()
            try:
                self.workers.discard(os.wait()[0])
            except ChildProcessError:
                return

    def stop_all(self, *_: object) -> None:
        self.stopping = True
        for worker in self.workers:
            os.kill(worker, signal.SIGTERM)

    def start_worker(self) -> None:
        worker = os.fork()
        if worker:
            self.workers.add(worker)
            return
        self.parent = False
        super().__init__()
        self.on_signals()
        self.poll.register(self.listener, 1)
        super().serve()
        os._exit(0)

    def finish(self) -> None:
        while self.workers:
            try:
                self.workers.discard(os.wait()[0])
            except ChildProcessError:
                return


if __name__ == "__main__":
    Workers.main()
