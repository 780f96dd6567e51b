"""Ends only when the last connection has ended."""

from common import Server


class Bad(Server):
    def serve(self) -> None:
        super().serve()
        self.poll.modify(self.listener, 0)
        while self.connections:
            self.turn()


if __name__ == "__main__":
    Bad.main()
