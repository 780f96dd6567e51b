"""Connect to the Docker engine, and explain why that fails."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
from urllib3.exceptions import ReadTimeoutError

from harness.contract.errors import EngineGone, HostNotFit
from harness.host import survey
from harness.host.facts import Engine

API_TIMEOUT_S = 120
ASKED_TIMEOUT_S = 5
SOCKET = "unix:///var/run/docker.sock"
SCHEMES = ("unix", "tcp", "http", "https", "ssh")
FORMS = "unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST"
TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


class Client(docker.DockerClient):
    """A client whose requests raise EngineGone if the engine no longer answers."""

    def __init__(self, **options: Any) -> None:
        self.api = _Api(**options)


class _Api(docker.APIClient):
    def send(self, request: Any, **options: Any) -> Any:
        """Send a request.

        Raises:
            EngineGone: the connection is refused, or it broke.
        """
        try:
            return super().send(request, **options)
        except requests.exceptions.ConnectionError as error:
            if any(isinstance(cause, ReadTimeoutError) for cause in error.args):
                raise  # the engine runs, but is slow
            raise gone(error) from error


def gone(error: Exception) -> EngineGone:
    """Make the error for an engine that stopped answering."""
    return EngineGone(
        f"the Docker engine at {address()} no longer answers: {_reason(error) or error}",
        hint="Start it again, then repeat the command.",
    )


def streamed(stream: Any) -> Iterator[Any]:
    """Yield what a stream of the engine brings; close it at its end, in the reading thread."""
    try:
        yield from stream
    finally:
        end(stream)


def end(stream: Any) -> None:
    """Close the response behind a stream, or a socket, of the engine.

    The SDK leaves that to the garbage collector. If the collector closes the socket first, the end
    of the response fails, and Python 3.13 writes "Exception ignored" to standard error.
    """
    response = getattr(stream, "_response", None)
    if response is not None:
        response.close()


def address() -> str:
    """The address at which the harness expects the engine."""
    return os.environ.get("DOCKER_HOST") or SOCKET


def connected(timeout_s: int = API_TIMEOUT_S) -> docker.DockerClient:
    """Connect to the engine that the environment names.

    Raises:
        HostNotFit: no address is usable, no engine answers, or it refuses this user.
    """
    _require_address(os.environ.get("DOCKER_HOST", ""))
    _require_tls_files(os.environ)
    try:
        client: docker.DockerClient = Client.from_env(timeout=timeout_s)
        client.ping()
    # The SDK passes on errors of other libraries
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        OSError,
        ValueError,
    ) as error:
        raise _unreachable(error) from None
    return client


def facts() -> Engine:
    """Facts that the engine reports about itself, or why it is not available."""
    try:
        client = connected(ASKED_TIMEOUT_S)
        version = client.version()
        client.close()
    except HostNotFit as error:
        return Engine(error=error.message)
    except OSError as error:
        return Engine(error=f"the Docker engine does not report its version: {error}")
    return Engine(
        version=str(version.get("Version")),
        api=str(version.get("ApiVersion")),
        nofile_hard=survey.daemon_nofile(),
    )


def _require_address(text: str) -> None:
    """Raise HostNotFit if DOCKER_HOST cannot be an engine's address."""
    if not text:
        return
    try:
        parsed = urlsplit(text.strip())
        has_place = parsed.path.strip("/") or parsed.hostname
        has_port = parsed.scheme in ("unix", "ssh") or parsed.port
        is_address = parsed.scheme in SCHEMES and has_place and has_port
    except ValueError:  # an invalid port or IPv6 address
        is_address = False
    if not is_address:
        raise HostNotFit(
            f"DOCKER_HOST is `{text}`, which is not the address of an engine; expected {FORMS}",
            hint=f"Correct it, or unset it to use {SOCKET}.",
        )


def _require_tls_files(environment: Mapping[str, str]) -> None:
    """Raise HostNotFit if a variable for TLS needs a variable or file that does not exist."""
    asking = [name for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH") if environment.get(name)]
    if not asking:
        return
    if not environment.get("DOCKER_HOST"):
        raise HostNotFit(
            f"{asking[0]} asks for TLS, but DOCKER_HOST is not set",
            hint=f"Set it to tcp://HOST:PORT, or unset {asking[0]} to use {SOCKET}.",
        )
    directory = Path(environment.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    missing = [name for name in TLS_FILES if not (directory / name).is_file()]
    if missing:
        raise HostNotFit(
            f"{asking[0]} asks for TLS, but {directory} has no {', '.join(missing)}",
            hint="Set DOCKER_CERT_PATH to the directory of the certificates, or unset "
            "DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.",
        )


def _unreachable(error: Exception) -> HostNotFit:
    if isinstance(error, docker.errors.InvalidVersion):
        return HostNotFit(
            f"the Docker engine at {address()} cannot be used: {error}",
            hint="Install a newer engine, or use `--backend process`.",
        )
    reason = _reason(error) or "another program than a Docker engine answers there"
    if reason == os.strerror(13):
        return HostNotFit(
            f"the Docker engine at {address()} refuses user {os.geteuid()}: {reason}",
            hint="Run as root or as a member of the socket's group. Where the engine remaps users "
            "(userns-remap), add `userns_mode: host` to the service in docker-compose.yml.",
        )
    path = Path(address().removeprefix("unix://"))
    if path.is_dir():
        return HostNotFit(
            f"{path} is a directory, expected the socket of a Docker engine",
            hint="Name the socket with DOCKER_SOCKET or DOCKER_HOST, and remove the directory.",
        )
    return HostNotFit(
        f"no Docker engine answers at {address()}: {reason}",
        hint="Start it, set DOCKER_HOST, or use `--backend process`.",
    )


def _reason(error: BaseException) -> str:
    """The kernel's message without the layers around it; empty if there is none."""
    seen: list[BaseException] = []
    open_ends: list[object] = [error]
    while open_ends:
        one = open_ends.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            if isinstance(one, OSError) and one.errno and one.strerror:
                return one.strerror
            if isinstance(one, TimeoutError | requests.exceptions.Timeout):
                return "it did not answer in time"
            if isinstance(one, OSError) and "TLS" in str(one):
                return str(one)  # of the library requests, which looks for the files
            open_ends += [one.__context__, one.__cause__, *one.args]
    return ""
