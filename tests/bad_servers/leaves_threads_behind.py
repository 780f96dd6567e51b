"""Tidies up after a broken connection in a thread that waits for what never comes."""

import threading

from common import Connection, Server


class Bad(Server):
    def on_broken(self, connection: Connection) -> None:
        super().on_broken(connection)
        threading.Thread(target=threading.Event().wait, daemon=True).start()


if __name__ == "__main__":
    Bad.main()
