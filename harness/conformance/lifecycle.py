"""Check the lifecycle: a server starts in time, obeys LISTEN, survives signals and ends."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.conformance import extra_servers
from harness.conformance.definition import Group
from harness.conformance.extra_servers import Extra
from harness.conformance.observed_server import Target, alive, send_signal, until
from harness.conformance.peers import SILENCE_S, Pattern, Peer, exchange, finish_connects, message
from harness.conformance.scene import Left, Scene
from harness.conformance.suite_results import COUNTERS_COMPARED, MAIN, Failed, Skipped, Wrong
from harness.host import procfs, sockets

GROUP = Group("lifecycle")

READY_S = 5.0
STOP_S = 2.0
OVERFLOW = 50
ADMITTED_S = 0.4
RETRIED_S = 8.0
SYN_RETRY_S = 1.0  # TCP_TIMEOUT_INIT in net/tcp.h
STORM_S, STORM_QUICK_S = 2.0, 0.5
STORM_PAUSE_S = 0.001
STOPS_EVERY = 20
OWED = 2
OWED_BYTES = 32 << 20
STREAMS = 10


@GROUP.check(
    "T24",
    "ready in time",
    proves="The server answers within five seconds of its start.",
    catches="The server listens late, or listens long before it serves. Do slow work after the "
    "first connections can be served.",
    light=True,
)
def ready_in_time(scene: Scene) -> str:
    """Time from the start of its process, as the kernel recorded it, to the first echo."""
    text = f"first echo {scene.facts.ready_s:.2f} s after the start of its process"
    if scene.facts.ready_s > READY_S:
        raise Failed(f"{text}; {READY_S:g} s are allowed", span_s=scene.server.age_s())
    return text


@GROUP.check(
    "T19",
    "backlog",
    proves="The accept queue is as long as BACKLOG says, and loses no connection.",
    catches="The server calls listen with another backlog. If it is short, clients that connect at "
    "once wait a second for the retransmission of their SYN (listen(2); RFC 6298: 1 s).",
    connections=extra_servers.SMALL_BACKLOG + OVERFLOW,
    light=True,
    extra=extra_servers.backlog,
)
def backlog(scene: Scene) -> str:
    """Stop a server with BACKLOG=64, connect 114 clients, let it continue."""
    server = scene.another(extra_servers.backlog(scene.spec))
    queues = len(sockets.listeners(server.address))
    count = extra_servers.SMALL_BACKLOG + OVERFLOW
    until(lambda: server.open_connections() == 0, STOP_S)
    overflows = _listen_overflows()
    with server.frozen():
        peers = scene.begin_connects(count, to=server)
        admitted = finish_connects(server.address, peers, ADMITTED_S)
    # A queue of B holds B + 1: sk_acceptq_is_full() is `>` (net/sock.h)
    least, most = extra_servers.SMALL_BACKLOG, queues * (extra_servers.SMALL_BACKLOG + 1)
    text = (
        f"BACKLOG={extra_servers.SMALL_BACKLOG}, {count} connect at once: {admitted} are admitted"
    )
    if admitted > most:
        raise Wrong(f"{text}, {most} are expected")
    if admitted < least:
        raise Failed(f"{text}, {most} are expected")
    if admitted < count and _listen_overflows() == overflows:
        raise Failed(f"{text}, but the kernel counts no overflow of its queue")
    scene.idle(SYN_RETRY_S)
    connected = finish_connects(server.address, peers, RETRIED_S)
    if connected < count:
        raise Failed(f"{text}, {connected} after {RETRIED_S:g} s")
    exchange(peers, [b"served?"] * count, RETRIED_S)
    return f"{text}, the others after they sent their SYN again; all were served"


def _listen_overflows() -> int:
    counters = procfs.counters(Path("/proc/net/netstat").read_text())
    return counters["TcpExt"]["ListenOverflows"]


@GROUP.check(
    "T22",
    "signals that mean nothing",
    proves="SIGSTOP and SIGCONT, SIGCHLD and SIGWINCH under traffic change no byte.",
    catches="The server does not repeat a system call that a signal interrupts (EINTR), or takes "
    "it for an error. Even without a handler a wait fails with EINTR after SIGCONT (signal(7)).",
)
def harmless_signals(scene: Scene) -> str:
    """Send a signal every millisecond, some of them SIGSTOP, while messages are echoed."""
    peers = scene.connect_many(10)
    echoes = 0
    with _storm(scene.server) as storm:
        end_s = time.monotonic() + (STORM_QUICK_S if scene.quick else STORM_S)
        while time.monotonic() < end_s or not storm.sent:
            exchange(peers, [message(3000, seed) for seed in range(len(peers))], SILENCE_S)
            echoes += len(peers)
    for peer in peers:
        peer.half_close()
        peer.expect_end()
    return f"{storm.sent:,} signals, {echoes:,} echoes of 3,000 bytes"


class _Storm:
    """A thread that sends signals until `end` is called."""

    def __init__(self, server: Target) -> None:
        self.sent = 0
        self._server = server
        self._pids = server.pids  # once: finding hundreds of processes takes a while
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop sending, and let the server continue."""
        self._over.set()
        self._thread.join()
        self._server.thaw()

    def _send(self) -> None:
        while not self._over.wait(STORM_PAUSE_S):
            send_signal(self._pids, signal.SIGWINCH if self.sent % 2 else signal.SIGCHLD)
            if self.sent % STOPS_EVERY == 0:
                send_signal(self._pids, signal.SIGSTOP)
                send_signal(self._pids, signal.SIGCONT)
            self.sent += 1


@contextmanager
def _storm(server: Target) -> Iterator[_Storm]:
    storm = _Storm(server)
    try:
        yield storm
    finally:
        storm.end()


@GROUP.check(
    "T26b",
    "IPv6",
    proves="The server serves LISTEN=tcp://[::]:PORT.",
    catches="The code fixes the address family. Take it from LISTEN (ipv6(7)).",
    light=True,
    extra=extra_servers.ipv6,
)
def ipv6(scene: Scene) -> str:
    """Echo with an additional server, on this machine's ::1."""
    extra = extra_servers.ipv6(scene.spec)
    if extra is None:
        raise Skipped("this network has no IPv6 address on its loopback")
    return _serves(scene, extra)


@GROUP.check(
    "T26c",
    "unix socket",
    proves="The server serves LISTEN=unix:///PATH.",
    catches="The code fixes the address family. Take it from LISTEN (unix(7)).",
    light=True,
    extra=extra_servers.unix,
)
def unix_socket(scene: Scene) -> str:
    """Echo with an additional server, on a path in a directory that both can see."""
    extra = extra_servers.unix(scene.spec)
    if extra is None:
        raise Skipped("no directory is shared with the server")
    return _serves(scene, extra)


def _serves(scene: Scene, extra: Extra) -> str:
    server = scene.another(extra)
    peers = scene.connect_many(5, to=server)
    for seed, peer in enumerate(peers):
        peer.echo(message(50_000, seed))
        peer.half_close()
        peer.expect_end()
    return f"{extra.environment['LISTEN']}: {len(peers)} connections of 50,000 bytes"


@GROUP.check(
    "T30",
    "counters",
    proves="The counters that the server prints at SIGUSR1 and at its end equal those of its "
    "clients.",
    catches="The server counts a connection or a byte twice or not at all. Count accept and close, "
    "and what recv and send returned (harness/conformance/lifecycle.py has what was sent). Or "
    "SIGUSR1 ends the server, or it does not answer it.",
    light=True,
    extra=extra_servers.counted,
)
def counters(scene: Scene) -> str:
    """Send exactly known traffic to an additional server.

    The harness, which started it, reads the counters that it prints.
    """
    extra = extra_servers.counted(scene.spec)
    if extra is None:
        raise Skipped("the server declares no counters")
    server = scene.another(extra)
    probes = 1  # one connection echoed one byte to see whether the server answers
    total = probes
    for seed, peer in enumerate(scene.connect_many(STREAMS, to=server, narrow=True)):
        size = 1 + seed * 30_011
        peer.fill(Pattern(seed), size)  # the server cannot send some of it at once
        peer.both_ways(Pattern(seed), size)
        peer.half_close()
        peer.expect_end()
        total += size
    until(lambda: server.open_connections() == 0, STOP_S)
    at_signal = _counted(STREAMS + probes, total)
    os.kill(server.root, signal.SIGUSR1)
    try:
        peer = scene.connect(to=server)
        peer.echo(b"!")
        peer.half_close()
        peer.expect_end()
    except Failed as failed:
        raise failed.within("after a SIGUSR1") from None
    until(lambda: server.open_connections() == 0, STOP_S)
    at_end = _counted(STREAMS + probes + 1, total + 1)
    raise Left("counters", server=extra.name, counters=at_end, at_signal=at_signal)


def _counted(connections: int, size: int) -> dict[str, int]:
    return dict(zip(COUNTERS_COMPARED, (connections, connections, size, size), strict=True))


@GROUP.check(
    "T21",
    "SIGTERM",
    proves="SIGTERM ends the server within two seconds, whatever is in flight.",
    catches="The signal does not end a wait, the server waits without end for output to leave, "
    "worker processes stay behind, or the port cannot be bound again. Set SO_REUSEADDR before bind "
    "(signal(7), socket(7)).",
    light=True,
    extra=extra_servers.ending,
)
def sigterm(scene: Scene) -> str:
    """Send SIGTERM with 100 connections open, some of them with pending output."""
    server = scene.another(extra_servers.ending(scene.spec))
    quiet = scene.connect_many(100 - OWED, to=server)
    exchange(quiet, [b"here?"] * len(quiet), SILENCE_S)
    owed = [_stalled(peer) for peer in scene.connect_many(OWED, to=server)]
    pids = server.pids  # before the signal: processes that stay behind lose their parent
    os.kill(server.root, signal.SIGTERM)
    start_s = time.monotonic()
    if not until(lambda: not alive(pids), STOP_S):
        left = ", ".join(map(str, alive(pids)))
        send_signal(pids, signal.SIGKILL)
        server.kill()
        raise Failed(f"{STOP_S:g} s after SIGTERM with 100 connections, process {left} still runs")
    took_s = time.monotonic() - start_s
    port = server.address.port
    assert port is not None  # noqa: S101 (it listens on TCP)
    # A process with many threads ends before its last thread does, which closes the files
    if not until(lambda: _bound_again(port) is None, STOP_S):
        why = "it did not set SO_REUSEADDR before bind"
        raise Failed(f"ended, but its port cannot be bound again: {_bound_again(port)}; {why}")
    return f"ended in {took_s:.2f} s with 100 connections, {sum(owed):,} bytes in flight"


def _bound_again(port: int) -> str | None:
    """Return why a successor cannot listen on the port; None if it can."""
    with socket.socket() as successor:
        successor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            successor.bind(("0.0.0.0", port))  # noqa: S104 (as the server was bound)
            successor.listen()
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
    return None


def _stalled(peer: Peer) -> int:
    return peer.fill(Pattern(21), OWED_BYTES)


@GROUP.check(
    "T21b",
    "exit status",
    proves="A server that SIGTERM ends exits with 0.",
    catches="The signal's default action, or a fault during the exit. Handle SIGTERM, leave the "
    "loop, return from main (docs/add-a-server.md).",
    light=True,
)
def exit_status(scene: Scene) -> str:
    """Leave it to the harness, which sees the exit code when the suite is done."""
    raise Left("clean-exit", server=MAIN)


@GROUP.check(
    "T31",
    "quiet",
    proves="The server writes little to standard error, however many connections it serves.",
    catches="A line for each connection or message. Each costs a system call, fills the disk that "
    "keeps the log, and blocks if its reader is slow (write(2)). Write what an operator needs, and "
    "the counters.",
    light=True,
)
def quiet(scene: Scene) -> str:
    """Leave it to the harness, which has the log when the suite is done."""
    raise Left("quiet", server=MAIN)


@GROUP.check(
    "T23b",
    "unusable address",
    proves="The server refuses an unusable LISTEN with a message and an exit code other than 0.",
    catches="The server uses a default instead, and serves at an address that LISTEN did not name.",
    light=True,
)
def unusable_address(scene: Scene) -> str:
    """Start a server with a LISTEN that is no address."""
    return _refuses(scene, extra_servers.unusable(scene.spec))


@GROUP.check(
    "T25",
    "loss of a worker",
    proves="After one worker process is killed, the server still serves new connections.",
    catches="The parent or the other workers depend on each worker: the dead one held a lock, or "
    "the parent ends with its first child (waitpid(2)).",
)
def lost_worker(scene: Scene) -> str:
    """Send SIGKILL to one of several processes."""
    server = scene.server
    # Only processes that listen: a runtime may have others that it needs
    workers = sorted(sockets.holders(sockets.listeners(server.address)) - {server.root})
    if not workers:
        raise Skipped("one process listens: there is no worker to lose")
    os.kill(workers[-1], signal.SIGKILL)
    time.sleep(0.2)
    for number in range(20):
        try:
            scene.connect().echo(message(1000, number))
        except Failed as failed:
            raise failed.within(f"one of {len(workers)} workers was killed; then") from None
    return f"one of {len(workers)} workers was killed, 20 new connections were served"


@GROUP.check(
    "T23",
    "address in use",
    proves="A second server on the same address ends with a message and an exit code other than 0.",
    catches="SO_REUSEPORT without need lets two servers share a port silently (socket(7)).",
)
def address_in_use(scene: Scene) -> str:
    """Start a second server at the address of the main server, which continues to serve."""
    queues = len(sockets.listeners(scene.server.address))
    if queues > 1:
        raise Skipped(f"{queues} sockets of its own share the port by SO_REUSEPORT")
    return _refuses(scene, extra_servers.same(scene.server.address))


def _refuses(scene: Scene, extra: Extra) -> str:
    scene.begin(extra)
    raise Left("refusal", server=extra.name, env=extra.environment)
