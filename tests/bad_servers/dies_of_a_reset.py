"""Takes ECONNRESET of one connection for its own end."""

from common import Connection, Server


class Bad(Server):
    def on_broken(self, connection: Connection) -> None:
        raise SystemExit(1)


if __name__ == "__main__":
    Bad.main()
