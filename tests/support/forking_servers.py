"""Servers that serve by processes which come and go: some by design, some to hide CPU time."""

# The parent accepts and keeps every socket. Those that it lends are served by a child, which is
# replaced when its life is over: as prefork servers do whose workers serve so many requests.
_LENDS = """
import os, select, signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
{on_start}
LENT_OF, LIFE_S = {lent_of}, {life_s}
family, where = os.environ["LISTEN"].split("://")
host, port = where.rsplit(":", 1)
listener = socket.create_server((host, int(port)), backlog=4096)
peers, lent, accepted = dict(), set(), 0
done_in, done_out = os.pipe()
os.set_blocking(done_in, False)

def serve(number, closed):
    try:
        data = peers[number].recv(16384)
    except OSError:
        data = b""
    if data:
        peers[number].sendall(data)
    else:
        closed(number)

def close(number):
    poller.unregister(number)
    lent.discard(number)
    peers.pop(number).close()

def child():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    mine = select.epoll()
    for number in lent:
        mine.register(number, select.EPOLLIN)
    def told(number):
        mine.unregister(number)
        os.write(done_out, b"%d\\n" % number)
    end = time.monotonic() + LIFE_S
    while (left := end - time.monotonic()) > 0 and os.getppid() == parent:
        for number, _ in mine.poll(left):
            serve(number, told)
    os._exit(0)

parent = os.getpid()
poller = select.epoll()
poller.register(listener, select.EPOLLIN)
worker, born = None, 0.0
while True:
    for number, _ in poller.poll(0.01):
        if number == listener.fileno():
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peers[peer.fileno()] = peer
            accepted += 1
            # The first ones are the readiness probe's
            if accepted > 5 and accepted % LENT_OF == 0:
                lent.add(peer.fileno())
                poller.register(peer, 0)
            else:
                poller.register(peer, select.EPOLLIN)
        else:
            serve(number, close)
    try:
        for number in os.read(done_in, 65536).split():
            close(int(number))
    except BlockingIOError:
        pass
    if lent and time.monotonic() - born > LIFE_S + 0.002:
        {collect}
        born = time.monotonic()
        worker = os.fork()
        if worker == 0:
            child()
"""


def lends(*, one_in: int, life_s: float, collects: bool = True) -> str:
    """Lends one in so many connections to a child that lives so long; maybe waits for its end."""
    settings = {
        "{lent_of}": str(one_in),
        "{life_s}": str(life_s),
        "{on_start}": "" if collects else "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "{collect}": "worker and os.waitpid(worker, 0)" if collects else "pass",
    }
    source = _LENDS
    for name, value in settings.items():
        source = source.replace(name, value)
    return source


_FORKS = """
import os, signal, socket
def collect(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGCHLD, {on_child})
family, where = os.environ["LISTEN"].split("://")
host, port = where.rsplit(":", 1)
listener = socket.create_server((host, int(port)), backlog=4096)
while True:
    peer, _ = listener.accept()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        listener.close()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := peer.recv(16384):
                peer.sendall(data)
        finally:
            os._exit(0)
    peer.close()
"""


def forks(*, collects: bool = True) -> str:
    """A process per connection, as inetd makes; the parent may ignore their ends."""
    return _FORKS.replace("{on_child}", "collect" if collects else "signal.SIG_IGN")


# What listens and accepts is a decoy: every socket goes to a process that a double fork made an
# orphan, in a session of its own, with an environment of its own.
HIDES = """
import array, os, select, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ours.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        poller, peers = select.epoll(), dict()
        poller.register(theirs, select.EPOLLIN)
        while True:
            for number, _ in poller.poll():
                if number == theirs.fileno():
                    _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
                    if not ancillary:
                        os._exit(0)
                    (received,) = array.array("i", ancillary[0][2][:4])
                    peers[received] = socket.socket(fileno=received)
                    poller.register(received, select.EPOLLIN)
                    continue
                try:
                    data = peers[number].recv(16384)
                except OSError:
                    data = b""
                if data:
                    peers[number].sendall(data)
                else:
                    poller.unregister(number)
                    peers.pop(number).close()
    os._exit(0)
os.wait()
theirs.close()
family, where = os.environ["LISTEN"].split("://")
host, port = where.rsplit(":", 1)
listener = socket.create_server((host, int(port)), backlog=4096)
while True:
    peer, _ = listener.accept()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    descriptor = array.array("i", [peer.fileno()])
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)])
    peer.close()
"""


def supervised(program: str) -> str:
    """A supervisor that starts one worker and waits for it; only the worker listens."""
    return f"""
import os, signal, sys
worker = os.fork()
if worker:
    signal.signal(signal.SIGTERM, lambda *_: os.kill(worker, signal.SIGTERM))
    _, status = os.waitpid(worker, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 255)
{program}
"""
