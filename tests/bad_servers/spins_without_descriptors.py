"""Goes on watching the listener when it has no descriptor for what waits there."""

from common import Server


class Bad(Server):
    def on_no_descriptor(self) -> None:
        pass


if __name__ == "__main__":
    Bad.main()
