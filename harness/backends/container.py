"""One container of ours from outside: how it ends, and what it wrote."""

from __future__ import annotations

import contextlib
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container

from harness import counters
from harness.backends.base import ServerExit, tail
from harness.load.waiting import Wait
from harness.written import Written

API_TIMEOUT_S = 120
KILLED_STATUS = 128 + 9
STOP_WAIT_MIN_S = 0.1  # a request to the engine takes as long
# Two lines of counters for each cell, and what else a server says.
LOG_LINES = 2_000


def ended(server: Container, waiting: Wait, asks: bool) -> ServerExit:
    """Stop it unless it has ended; without `asks`, wait for its own end. How it ended."""
    waiting.begin()
    with contextlib.suppress(docker.errors.APIError):  # it has ended
        if asks:
            server.kill(signal="SIGTERM")
        waiting.until(lambda left_s: _ends_within(server, left_s))
    try:
        # The engine sends SIGKILL at once; the exit code is then 137.
        server.stop(timeout=0)
        code = int(server.wait(timeout=API_TIMEOUT_S)["StatusCode"])
    except docker.errors.APIError as error:
        return ServerExit(None, f"stopping it failed: {error.explanation}")
    wrote = _read(server, stdout=True, stderr=True)
    return ServerExit(
        None if code == KILLED_STATUS else code,
        tail(counters.condensed(wrote.text)),
        waiting.spent,
        wrote.amount,
    )


def remove(container: Container) -> None:
    """Remove it; what an error leaves is found by its label."""
    with contextlib.suppress(docker.errors.APIError):  # gone, or on its way
        container.remove(force=True, v=True)


def last_lines(container: Container | None) -> str:
    """The end of what it has written to stderr so far."""
    return _read(container, stdout=False, stderr=True, tail=LOG_LINES).text if container else ""


def _ends_within(server: Container, timeout_s: float) -> bool:
    # What the engine says of a wait that took too long depends on the version of its client.
    with contextlib.suppress(OSError, docker.errors.DockerException):
        server.wait(timeout=max(STOP_WAIT_MIN_S, timeout_s))
        return True
    return False


def _read(container: Container, **options: Any) -> Written:
    """What the engine kept of its output; it keeps no more than `confined()` allows."""
    written = Written()
    with contextlib.suppress(docker.errors.APIError):
        for chunk in container.logs(stream=True, follow=False, **options):
            written.add(chunk)
    return written
