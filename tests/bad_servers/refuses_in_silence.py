"""Says nothing when it cannot serve."""

import os

from common import Server

if __name__ == "__main__":
    try:
        Server.main()
    except SystemExit:
        os._exit(1)
