"""Build and run the servers that share `servers/common`, and talk to them over plain sockets.

A server runs in one of several flavours: as it is measured, or with a sanitizer. Every one that is
stopped must exit with 0 and say nothing but its counters, so a sanitizer's report fails the test.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from serving_network import libc

from harness.variants.variant_files import ProcessRun

SERVERS = Path(__file__).resolve().parents[2] / "servers"
READY_S = 10.0  # a sanitizer's runtime takes its time on a busy machine
PATIENCE_S = 10.0  # for any one reply: a server that is slower than this hangs
STOP_S = 2.0  # what the contract allows from SIGTERM to the exit
KILL_S = 10.0
BUILD_S = 300.0
FILL_BYTES_MAX = 64 << 20  # the kernel's buffers of both ends hold some 8 MB
BUFFER_BYTES = 16 * 1024  # one read of a server
THREADED = "thread-per-connection"
RING = "io-uring"  # how the names of those begin that have their calls made by the kernel

SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438  # the same on every architecture since 5.1


@functools.cache
def variants() -> dict[str, dict[str, Any]]:
    """Name → variant.toml of every variant that servers/Makefile builds."""
    files = (path.with_name("variant.toml") for path in sorted(SERVERS.glob("*/server.cpp")))
    return {file.parent.name: tomllib.loads(file.read_text()) for file in files if file.exists()}


@dataclass(frozen=True, slots=True)
class Flavour:
    """One variant as one kind of build."""

    variant: str
    sanitizer: str  # "" for the build that is measured

    def __str__(self) -> str:
        return "-".join(filter(None, (self.variant, self.sanitizer)))

    @property
    def connections_max(self) -> int | None:
        """The ceiling that the variant declares, None without one."""
        limits: dict[str, Any] = variants()[self.variant].get("limits", {})
        return limits.get("connections_max")

    @property
    def held_bytes_max(self) -> int:
        """What it may hold of one connection: a ring reads on until it is told not to."""
        return BUFFER_BYTES * (8 if self.variant == RING else 1)

    def binary(self) -> Path:
        """The built program; builds all of its kind at the first call."""
        build(self.sanitizer)
        require_packages(self.variant)
        return SERVERS / "build" / self.sanitizer / self.variant


def _pools() -> list[str]:
    """Those whose workers are all there is: what comes beyond waits (tests of their own)."""
    limits = {name: file.get("limits", {}) for name, file in variants().items()}
    return [name for name, limit in limits.items() if limit.get("beyond") == "queue"]


POOLS = _pools()
WORKERS = [name for name, file in variants().items() if file["workers"] == "cpus"]
BOUNDLESS = [name for name in variants() if name not in POOLS]
PLAIN = [Flavour(name, "") for name in BOUNDLESS]
FLAVOURS = [
    *PLAIN,
    *(Flavour(name, "address") for name in BOUNDLESS),
    *(Flavour(name, "thread") for name in (THREADED, *WORKERS)),
]
EVENT_LOOPS = [each for each in FLAVOURS if each.variant != THREADED]
# A request that waits in the kernel has the limits of when it was made (io_accept_prep)
ASK_LIMITS = [each for each in FLAVOURS if not each.variant.startswith(RING)]


@functools.cache
def build(sanitizer: str) -> None:
    """Build all variants; skip where there is no compiler, fail when it does not like the code."""
    for tool in ("make", os.environ.get("CXX", "g++")):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    command = ["make", "-j2", "-C", str(SERVERS), f"SANITIZE={sanitizer}", "all"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
    assert done.returncode == 0, done.stderr


def missing_packages(variant: str) -> str:
    """The packages that the variant requires and this host lacks; empty where it has all."""
    return " ".join(ProcessRun(**variants()[variant]["process"]).missing_packages())


def require_packages(variant: str) -> None:
    """Skip, and name the packages, where this host lacks what the variant requires."""
    if missing := missing_packages(variant):
        pytest.skip(f"not installed: {missing}")
    if variant in skipped():
        pytest.skip(f"{variant}: `make all` leaves it out here, and says why")


@functools.cache
def skipped() -> frozenset[str]:
    """The variants that `make all` leaves out here, because a library is missing or too old."""
    command = ["make", "-C", str(SERVERS), "-n", "all"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=True)
    return frozenset(re.findall(r'echo "([a-z-]+): skipped: ', done.stdout))


def free_port(family: int = socket.AF_INET) -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket(family) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes in which a shifted, lost or doubled piece shows."""
    return random.Random(seed).randbytes(size)  # noqa: S311


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or fewer when the peer ends before."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = connection.recv(min(size - len(pieces), 1 << 20))
        if not piece:
            break
        pieces += piece
    return bytes(pieces)


def receive_all(connection: socket.socket) -> bytes:
    """Everything up to the peer's end."""
    return receive(connection, 1 << 62)


def echo(connection: socket.socket, data: bytes) -> bool:
    """Send and read back at the same time, however much it is; was every byte right?"""
    received, sent, waiting = bytearray(), 0, select.poll()
    deadline = time.monotonic() + PATIENCE_S
    connection.setblocking(False)
    while len(received) < len(data):
        assert time.monotonic() < deadline, f"{len(received)} of {len(data)} bytes came back"
        with suppress(BlockingIOError):
            sent += connection.send(data[sent : sent + (1 << 16)]) if sent < len(data) else 0
        try:
            piece = connection.recv(1 << 16)
        except BlockingIOError:
            waiting.register(connection, select.POLLIN | select.POLLOUT * (sent < len(data)))
            waiting.poll(PATIENCE_S * 1000)
            continue
        if not piece:
            break
        received += piece
    connection.settimeout(PATIENCE_S)
    return bytes(received) == data


def served(connections: list[socket.socket], patience_s: float) -> list[socket.socket]:
    """Those of the connections that get their echo within the time."""
    for connection in connections:
        connection.sendall(b"?")
    answered = []
    deadline = time.monotonic() + patience_s
    for connection in connections:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            if connection.recv(1) == b"?":
                answered.append(connection)
        except TimeoutError:
            continue
    return answered


def fill(*connections: socket.socket) -> list[bytes]:
    """Send on all of them without reading until nobody takes more; return what each was sent."""
    data = pattern(1 << 20)
    sent = [bytearray() for _ in connections]
    quiet = 0
    while quiet < 10:  # times 20 ms: longer than the kernel's timers for window updates
        quiet += 1
        for connection, done in zip(connections, sent, strict=True):
            connection.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    start = len(done) % len(data)
                    done += data[start : start + connection.send(data[start:])]
                    quiet = 0
                    assert len(done) < FILL_BYTES_MAX, "the server takes all and owes it"
            connection.settimeout(PATIENCE_S)
        time.sleep(0.02)
    return [bytes(done) for done in sent]


def reset(connection: socket.socket) -> None:
    """Close so that the peer gets a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Wait for a condition; False when it does not come true."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@dataclass(frozen=True, slots=True)
class Ended:
    """How a server ended."""

    exit_code: int
    stderr: str
    duration_s: float

    @property
    def counters(self) -> dict[str, int]:
        """The figures of its last line, which must be its only one."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        counters: dict[str, int] = json.loads(lines[0])["counters"]
        return counters


@dataclass(slots=True)
class Server:
    """A running server; connections are opened through it, so that it can be asked about them."""

    flavour: Flavour
    address: str
    process: subprocess.Popen[str]
    connections: list[socket.socket] = field(default_factory=list)

    @classmethod
    def start(cls, flavour: Flavour, address: str = "", **environment: str) -> Self:
        """Start it and wait until it has echoed one byte to one connection, which is closed."""
        address = address or f"tcp://127.0.0.1:{free_port()}"
        server = cls(flavour, address, launch(flavour, LISTEN=address, **environment))
        assert until(server.answers, READY_S), "not ready"
        return server

    @property
    def pid(self) -> int:
        return self.process.pid

    def answers(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        try:
            connection = self.connect()
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        connection.sendall(b"?")
        connection.shutdown(socket.SHUT_WR)
        assert receive_all(connection) == b"?"
        connection.close()
        return True

    def connect(self, timeout_s: float = PATIENCE_S) -> socket.socket:
        scheme, _, rest = self.address.partition("://")
        if scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout_s)
            connection.connect(rest)
        else:
            host, _, port = rest.rpartition(":")
            connection = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.append(connection)
        return connection

    def cpu_s(self) -> float:
        """CPU time that all of its threads have had, those that ended meanwhile included."""
        # The process's CPU clock, as clock_getcpuclockid(3) names it: a thread that ends between
        # listing and reading /proc/PID/task would be an error, or missing.
        return time.clock_gettime((~self.pid << 3) | 2)

    def cpu_share(self, over_s: float = 0.5) -> float:
        """CPU seconds per second from now on."""
        before, start = self.cpu_s(), time.monotonic()
        time.sleep(over_s)
        return (self.cpu_s() - before) / (time.monotonic() - start)

    def anonymous_bytes(self) -> int:
        """User memory that is its own: heap and stacks."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        line = next(line for line in text.splitlines() if line.startswith("Anonymous:"))
        return int(line.split()[1]) * 1024

    def loops(self) -> int:
        """How many threads wait for events."""
        return len(os.sched_getaffinity(0)) if self.flavour.variant in WORKERS else 1

    def threads(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    def descriptors(self) -> set[int]:
        return {int(path.name) for path in Path(f"/proc/{self.pid}/fd").iterdir()}

    def copy_of_socket(self, descriptor: int) -> socket.socket:
        """One of the server's own sockets, to look at or to change; close it after use."""
        pidfd = libc.syscall(SYS_PIDFD_OPEN, self.pid, 0)
        copied = libc.syscall(SYS_PIDFD_GETFD, pidfd, descriptor, 0)
        error = ctypes.get_errno()
        os.close(pidfd)
        if copied < 0 and error == errno.EPERM:
            pytest.skip("pidfd_getfd is refused here")
        assert copied >= 0, os.strerror(error)
        return socket.socket(fileno=copied)

    def counters_now(self) -> dict[str, int]:
        """What it answers to a SIGUSR1; whatever else it says fails."""
        self.process.send_signal(signal.SIGUSR1)
        stderr = self.process.stderr
        assert stderr is not None
        assert select.select([stderr], [], [], PATIENCE_S)[0], "SIGUSR1 is not answered"
        answer: dict[str, int] = json.loads(stderr.readline())["counters"]
        return answer

    def interrupt(self, name: str) -> None:
        self.process.send_signal(signal.Signals[name])
        if name == "SIGSTOP":
            assert until(self._stands), "SIGSTOP has not stopped every thread"

    def _stands(self) -> bool:
        states = []
        for path in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
                states.append(path.read_text().rpartition(") ")[2][0])
        return set(states) == {"T"}

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        """Send a signal; the connections stay open until the server has ended."""
        start = time.monotonic()
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=KILL_S)
        return Ended(self.process.returncode, stderr, time.monotonic() - start)

    def stop_well(self, number: int = signal.SIGTERM) -> dict[str, int]:
        """Stop it as the contract has it, and return its counters."""
        ended = self.stop(number)
        assert ended.exit_code == 0, ended.stderr
        assert self.flavour.sanitizer or ended.duration_s <= STOP_S  # else KILL_S bounds it
        return ended.counters

    def discard(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        for connection in self.connections:
            connection.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=KILL_S)


def launch(flavour: Flavour, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the program with nothing but `environment`; it may end at once."""
    return subprocess.Popen(
        [flavour.binary(), *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def run_to_end(flavour: Flavour, *arguments: str, **environment: str) -> Ended:
    """Start the program, which is expected to refuse."""
    start = time.monotonic()
    process = launch(flavour, *arguments, **environment)
    try:
        _, stderr = process.communicate(timeout=KILL_S)
    finally:
        process.kill()
    return Ended(process.returncode, stderr, time.monotonic() - start)
