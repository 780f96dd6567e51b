"""Sources of servers for the tests: a right one, and some that fail in one way each."""

ECHO = """
import os, selectors, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
family, where = os.environ["LISTEN"].split("://")
host, port = where.rsplit(":", 1)
listener = socket.create_server((host, int(port)), backlog=1024)
selector = selectors.DefaultSelector()
selector.register(listener, selectors.EVENT_READ)
served = 0
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(peer, selectors.EVENT_READ)
            {on_accept}
            continue
        peer = key.fileobj
        try:
            data = peer.recv(16384)
        except OSError:
            data = b""
        if not data:
            selector.unregister(peer)
            peer.close()
            continue
        served += 1
        {on_data}
        peer.sendall(data)
"""


def echo(*, on_accept: str = "pass", on_data: str = "pass") -> str:
    """A single-threaded echo server with a statement of its own at accept and at each read."""
    return ECHO.replace("{on_accept}", on_accept).replace("{on_data}", on_data)


NEVER_LISTENS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("waiting for nothing", file=sys.stderr, flush=True)
time.sleep(600)
"""

CRASHES_AT_START = """
import sys
sys.exit("cannot read /etc/mine.conf: no such file")
"""

# After the readiness check and 50 hellos, inside the traffic.
DIES_MID_TRIAL = echo(on_data="if served > 500: os.kill(os.getpid(), signal.SIGKILL)")
ECHOES_WRONG_BYTES = echo(on_data='data = b"x" * len(data)')
CORRUPTS_ONE_IN_A_THOUSAND = echo(
    on_data="data = data[:-1] + bytes([data[-1] ^ 1]) if served % 1000 == 0 else data"
)
HOLDS_30 = echo(
    on_accept="if len(selector.get_map()) > 31: selector.unregister(peer); peer.close()"
)
LOSES_ONE = echo(on_data="if served == 700: selector.unregister(peer); peer.close(); continue")
# What it counts is its own business, as long as it does not declare `counters`.
COUNTS_ODDLY = echo().replace(
    "lambda *_: sys.exit(0)",
    """lambda *_: sys.exit(print('{"counters":{"accepted":5}}', file=sys.stderr, flush=True))""",
)
IGNORES_SIGTERM = echo().replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
EXITS_WITH_3 = echo().replace("sys.exit(0)", "sys.exit(3)")
# Stopped inside the window and going on long after it: what is under way at the window's end is
# timed by no echo in it.
STOPS_ACROSS_THE_EDGE = echo(on_data="if served == 60: nap()").replace(
    "selector = selectors",
    """
import time
def nap():
    if os.fork() == 0:
        os.closerange(3, 1024)
        time.sleep(1.0)
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(5.0)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
selector = selectors""",
    1,
)
