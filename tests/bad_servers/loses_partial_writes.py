"""Takes a partial write for a whole one."""

from common import Connection, Server


class Bad(Server):
    def owe(self, connection: Connection, rest: bytes) -> None:
        pass


if __name__ == "__main__":
    Bad.main()
