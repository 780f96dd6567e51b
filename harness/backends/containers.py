"""Containers on their way to an end: stop them, and say how they ended."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container

from harness.backends import docker_engine
from harness.backends.base import ServerExit, tail
from harness.backends.confinement import LAUNCHED
from harness.contract import killed as killing
from harness.contract import server_counters
from harness.host.bounded_output import Written
from harness.host.fair_wait import Wait

# Status of a container whose process is gone
ENDED = frozenset({"exited", "dead"})
# Exit codes of what SIGKILL, and any signal from outside, ended
KILLED = 128 + signal.SIGKILL
SIGNALLED = frozenset(128 + number for number in killing.OUTSIDE)
# Two lines of counters for each cell, and what else a server says.
LOG_LINES = 2_000
STOP_WAIT_MIN_S = 0.1  # a request to the engine takes as long
# From the end of its output until the engine knows how a container ended.
END_S = 10.0


def stop(server: Container, waiting: Wait, *, asks: bool) -> ServerExit:
    """Stop it unless it has ended; without `asks`, wait for its own end. How it ended."""
    waiting.begin()
    # Read first: afterwards a signal from elsewhere looks like ours
    died = killed(server, {KILLED}) if _status(server) in ENDED else ""
    with contextlib.suppress(docker.errors.APIError):  # it has ended
        if asks:
            server.kill(signal="SIGTERM")
        waiting.until(lambda left_s: ends_within(server, left_s))
    try:
        # The engine sends SIGKILL at once; the exit code is then 137.
        server.stop(timeout=0)
        code = int(server.wait(timeout=docker_engine.API_TIMEOUT_S)["StatusCode"])
    except docker.errors.APIError as error:
        return ServerExit(None, f"stopping it failed: {error.explanation}")
    wrote = _read(server, stdout=True, stderr=True)
    said = tail(server_counters.condensed(wrote.text))
    exit_code = None if code == KILLED else code
    return ServerExit(exit_code, said, waiting.spent, wrote.amount, died)


def killed(container: Container, codes: frozenset[int] | set[int], within_s: float = END_S) -> str:
    """Which signal ended a container that ended with one of `codes`, in words; else empty."""
    ends_within(container, within_s)
    try:
        container.reload()
    except docker.errors.NotFound:
        return "it was removed from outside"
    state = container.attrs["State"]
    code = int(state["ExitCode"])
    number = killing.from_outside(code)
    if container.status not in ENDED or code not in codes or number is None:
        return ""
    senders = "`docker kill` or a stopping engine"
    how = killing.told(number, lacked_memory=bool(state.get("OOMKilled")), senders=senders)
    return f"exit {code}, {how}"


def ends_within(container: Container, timeout_s: float) -> bool:
    """Whether it ended within a time."""
    # What the engine says of a wait that took too long depends on the version of its client.
    with contextlib.suppress(OSError, docker.errors.DockerException):
        container.wait(timeout=max(STOP_WAIT_MIN_S, timeout_s))
        return True
    return False


def launched(client: docker.DockerClient) -> list[Container]:
    """Containers of campaigns that have ended, or never started, and whose launcher is gone.

    A launcher that runs reads how its campaign ended, and removes it then.
    """
    filters: dict[str, Any] = {"label": LAUNCHED, "status": ["exited", "created"]}
    found = client.containers.list(all=True, filters=filters, ignore_removed=True)
    running = {one.id for one in client.containers.list(ignore_removed=True)}
    return [one for one in found if one.labels[LAUNCHED] not in running]


def remove(container: Container) -> None:
    """Remove it; what an error leaves is found by its label."""
    with contextlib.suppress(docker.errors.APIError):  # gone, or on its way
        container.remove(force=True, v=True)


def last_lines(container: Container | None) -> str:
    """The end of what it has written to stderr so far."""
    return _read(container, stdout=False, stderr=True, tail=LOG_LINES).text if container else ""


def _read(container: Container, **options: Any) -> Written:
    """What the engine kept of its output; it keeps no more than `confined()` allows."""
    written = Written()
    with contextlib.suppress(docker.errors.APIError):
        for chunk in docker_engine.streamed(container.logs(stream=True, follow=False, **options)):
            written.add(chunk)
    return written


def _status(container: Container) -> str:
    with contextlib.suppress(docker.errors.APIError):
        container.reload()
    return str(container.status)
