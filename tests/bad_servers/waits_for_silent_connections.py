"""Has places for 200 connections, and lets the others wait until somebody leaves."""

import select

from common import Server

PLACES = 200


class Bad(Server):
    full = False

    def accepts_max(self) -> int:
        return min(super().accepts_max(), PLACES - len(self.connections))

    def turn(self) -> None:
        super().turn()
        if self.full != (len(self.connections) >= PLACES) and self.rest_until_s is None:
            self.full = not self.full
            self.poll.modify(self.listener, 0 if self.full else select.EPOLLIN)


if __name__ == "__main__":
    Bad.main()
