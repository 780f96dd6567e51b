"""Stop containers, and find out how they ended."""

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

# Status of a container whose process has ended
ENDED = frozenset({"exited", "dead"})
# Exit codes of processes that SIGKILL, or any signal from outside, ended
KILLED = 128 + signal.SIGKILL
SIGNALLED = frozenset(128 + number for number in killing.OUTSIDE)
# Two lines of counters per cell, and the server's other output.
LOG_LINES = 2_000
STOP_WAIT_MIN_S = 0.1  # a request to the engine takes as long
# From the end of a container's output until the engine reports how it ended.
END_S = 10.0


def stop(server: Container, waiting: Wait, *, asks: bool) -> ServerExit:
    """Stop it unless it has ended; without `asks`, wait for its own end. Return how it ended."""
    waiting.begin()
    # Read first: a signal from another process looks like ours afterwards
    died = killed(server, {KILLED}) if _status(server) in ENDED else ""
    with contextlib.suppress(docker.errors.APIError):  # it has ended
        if asks:
            server.kill(signal="SIGTERM")
        waiting.until(lambda left_s: ends_within(server, left_s))
    try:
        # The engine sends SIGKILL immediately; the exit code is then 137.
        server.stop(timeout=0)
        code = int(server.wait(timeout=docker_engine.API_TIMEOUT_S)["StatusCode"])
    except docker.errors.APIError as error:
        return ServerExit(None, f"stopping it failed: {error.explanation}")
    wrote = _read(server, stdout=True, stderr=True)
    said = tail(server_counters.condensed(wrote.text))
    exit_code = None if code == KILLED else code
    return ServerExit(exit_code, said, waiting.spent, wrote.amount, died)


def killed(container: Container, codes: frozenset[int] | set[int], within_s: float = END_S) -> str:
    """Describe the signal that ended a container with one of the exit `codes`; otherwise empty."""
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
    """Whether the container ends within a time."""
    # The error of a wait that timed out depends on the version of the engine's client.
    with contextlib.suppress(OSError, docker.errors.DockerException):
        container.wait(timeout=max(STOP_WAIT_MIN_S, timeout_s))
        return True
    return False


def launched(client: docker.DockerClient) -> list[Container]:
    """Containers of launched campaigns that do not run and whose launcher is gone.

    A launcher that runs reads how its campaign ended, and removes the container then.
    """
    filters: dict[str, Any] = {"label": LAUNCHED, "status": ["exited", "created"]}
    found = client.containers.list(all=True, filters=filters, ignore_removed=True)
    running = {one.id for one in client.containers.list(ignore_removed=True)}
    return [one for one in found if one.labels[LAUNCHED] not in running]


def remove(container: Container) -> None:
    """Remove it. If that fails, the next sweep finds it by its label."""
    with contextlib.suppress(docker.errors.APIError):  # gone, or being removed
        container.remove(force=True, v=True)


def last_lines(container: Container | None) -> str:
    """The end of its stderr so far."""
    return _read(container, stdout=False, stderr=True, tail=LOG_LINES).text if container else ""


def _read(container: Container, **options: Any) -> Written:
    """The part of its output that the engine kept, limited by `confined()`."""
    written = Written()
    with contextlib.suppress(docker.errors.APIError):
        for chunk in docker_engine.streamed(container.logs(stream=True, follow=False, **options)):
            written.add(chunk)
    return written


def _status(container: Container) -> str:
    with contextlib.suppress(docker.errors.APIError):
        container.reload()
    return str(container.status)
