"""Writes much to standard error for each message that it reads."""

import os
import sys

from common import Connection, Server

LINE = b"a message came\n" * 1_000


class Bad(Server):
    def read(self, connection: Connection) -> bool:
        """One read, its echo, and a line of log for it."""
        found = super().read(connection)
        os.write(sys.stderr.fileno(), LINE)
        return found


if __name__ == "__main__":
    Bad.main()
