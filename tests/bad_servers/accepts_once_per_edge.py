"""Edge-triggered listener, one accept per event: the second that connects at once is left."""

import select

import common
from common import Server


class Bad(Server):
    def serve(self) -> None:
        self.poll.modify(self.listener, select.EPOLLIN | select.EPOLLET)
        common.ACCEPTS_MAX = 1
        super().serve()


if __name__ == "__main__":
    Bad.main()
