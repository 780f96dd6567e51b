"""Leaves SIGPIPE at its default."""

import signal

from common import Server

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    Server.main()
