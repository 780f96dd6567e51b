"""A parent that waits for any of its workers, and ends with it."""

import os
import signal

from right_with_workers import Workers


class Bad(Workers):
    def serve(self) -> None:
        signal.signal(signal.SIGTERM, self.stop_all)
        self.workers = set()
        for _ in range(2):
            self.start_worker()
        self.workers.discard(os.wait()[0])
        self.stop_all()


if __name__ == "__main__":
    Bad.main()
