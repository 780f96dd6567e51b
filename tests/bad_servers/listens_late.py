"""Prepares for five and a half seconds before it listens."""

import time

from common import Server

if __name__ == "__main__":
    time.sleep(5.5)
    Server.main()
