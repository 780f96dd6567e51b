"""Goes on after SIGTERM."""

from common import Server


class Bad(Server):
    def stop(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    Bad.main()
