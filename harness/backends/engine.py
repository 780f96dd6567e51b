"""The connection to the Docker engine, and what it says when there is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
from urllib3.exceptions import ReadTimeoutError

from harness.errors import EngineGone, HostNotFit

API_TIMEOUT_S = 120
SOCKET = "unix:///var/run/docker.sock"


class Client(docker.DockerClient):
    """A client whose every request raises EngineGone where no engine answers any more."""

    def __init__(self, **options: Any) -> None:
        self.api = _Api(**options)


class _Api(docker.APIClient):
    def send(self, request: Any, **options: Any) -> Any:
        """Send a request.

        Raises:
            EngineGone: the connection is refused, or broke.
        """
        try:
            return super().send(request, **options)
        except requests.exceptions.ConnectionError as error:
            if any(isinstance(cause, ReadTimeoutError) for cause in error.args):
                raise  # the engine is there, and takes its time
            raise EngineGone(
                f"the Docker engine at {address()} no longer answers: {_reason(error)}",
                hint="Start it again, then repeat the command.",
            ) from error


def address() -> str:
    """Where the engine is expected."""
    return os.environ.get("DOCKER_HOST") or SOCKET


def connected() -> docker.DockerClient:
    """A client of the engine that the environment names.

    Raises:
        HostNotFit: no engine answers, or it does not let this user in.
    """
    try:
        client: docker.DockerClient = Client.from_env(timeout=API_TIMEOUT_S)
        client.ping()
    except docker.errors.DockerException as error:
        raise _unreachable(error) from None
    return client


def _unreachable(error: Exception) -> HostNotFit:
    reason = _reason(error)
    if reason == os.strerror(13):
        return HostNotFit(
            f"the Docker engine at {address()} refuses user {os.geteuid()}: {reason}",
            hint="Run as root or as a member of the socket's group. Where the engine remaps users "
            "(userns-remap), add `userns_mode: host` to the service in docker-compose.yml.",
        )
    path = Path(address().removeprefix("unix://"))
    if path.is_dir():
        return HostNotFit(
            f"{path} is a directory, and the socket of a Docker engine was expected",
            hint="Name the socket with DOCKER_SOCKET or DOCKER_HOST, and remove the directory.",
        )
    return HostNotFit(
        f"no Docker engine answers at {address()}: {reason}",
        hint="Start it, set DOCKER_HOST, or use `--backend process`.",
    )


def _reason(error: BaseException) -> str:
    """What the kernel said, without the layers around it."""
    seen: list[BaseException] = []
    open_ends: list[object] = [error]
    while open_ends:
        one = open_ends.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            if isinstance(one, OSError) and one.errno and one.strerror:
                return one.strerror
            open_ends += [one.__context__, one.__cause__, *one.args]
    return str(error)
