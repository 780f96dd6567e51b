"""Never watches the listener again after EMFILE."""

from common import Server


class Bad(Server):
    def on_no_descriptor(self) -> None:
        self.poll.unregister(self.listener)


if __name__ == "__main__":
    Bad.main()
