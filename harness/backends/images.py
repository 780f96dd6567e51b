"""Build the images of servers and of the harness, named by a digest of their content."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import queue
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from harness.backends import docker_engine, image_bases
from harness.backends.base import tail, told_runtime
from harness.contract.errors import HostNotFit, ServerFault
from harness.contract.statuses import FailureCode
from harness.host import compilers, interrupt
from harness.host.bounded_output import Written
from harness.variants.variant_files import Variant

BASE_DEFAULT = "debian:bookworm-slim"
HARNESS_IMAGE = "c10k/harness"
VARIANT_LABEL = "c10k.variant"
# The variables that a Docker client takes from the `proxies` of its configuration
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
# The engine makes this file in every container.
IN_CONTAINER = Path("/.dockerenv")
# One line is expected.
LOG_LINES = 100
# How often a build, and a wait for a container, checks whether it must stop.
LOOK_S, LOOK_AGAIN_S = 0.2, 2.0


def base_image() -> str:
    """The base of all images: `C10K_BASE`, so that a host without a registry needs only one."""
    return os.environ.get("C10K_BASE") or BASE_DEFAULT


def shared_layers(variant: Variant) -> str:
    """Context and Dockerfile up to the first line that copies sources: equal ones share layers.

    The engine reuses a layer only if the first build made it before the second build begins.
    """
    lines = _text_of(variant).splitlines()
    own = [at for at, line in enumerate(lines) if line.split()[:1] in (["COPY"], ["ADD"])]
    return "\n".join([str(variant.context), *lines[: own[0] if own else len(lines)]])


def build_variant(client: docker.DockerClient, variant: Variant, timeout_s: float) -> str:
    """Build the server's image unless one of the same content exists; return the image's id.

    Raises:
        ServerFault: the build fails; the fault carries the end of the build's output.
    """
    tag = _tag(client, variant)
    try:
        return str(client.images.get(tag).id)
    except docker.errors.ImageNotFound:
        pass
    try:
        _build(
            client,
            timeout_s,
            path=str(variant.context),
            dockerfile=str(variant.dockerfile.relative_to(variant.context)),
            tag=tag,
            buildargs={"BASE": base_image(), **proxies()},
            labels={VARIANT_LABEL: variant.name},
        )
    except _BuildFailed as failure:
        raise ServerFault(
            f"{variant.name}: building its image failed: {failure}",
            code=FailureCode.BUILD_FAILED,
            hint=f"Run the build alone: docker build -f {variant.dockerfile} {variant.context}",
            log=failure.log,
        ) from None
    image = client.images.get(tag)
    if (known := _tag(client, variant)) != tag:  # the build has fetched a base
        image.tag(*known.split(":"))
        client.images.remove(tag)
    return str(image.id)


def _tag(client: docker.DockerClient, variant: Variant) -> str:
    """Name of the image for these sources and the current local versions of their bases."""
    ids = [_id(client, name) for name in image_bases.of(_text_of(variant), base_image())]
    content = hashlib.sha256(os.fsencode(" ".join([variant.digest(), *ids]))).hexdigest()
    return f"c10k/{variant.name}:{content[:16]}"


def _text_of(variant: Variant) -> str:
    return variant.dockerfile.read_text(encoding="utf-8", errors="surrogateescape")


def _id(client: docker.DockerClient, name: str) -> str:
    try:
        return str(client.images.get(name).id)
    except docker.errors.APIError:  # missing here, or an invalid name: the build reports it
        return f"{name}, not here"


def runtime_of(
    client: docker.DockerClient, variant: Variant, image: str, timeout_s: float, **options: Any
) -> str:
    """The runtime that the server prints for `--version`, in a container with these options.

    Raises:
        ServerFault: it prints none, or does not end.
    """
    container = None
    try:
        container = client.containers.create(image, ["--version"], **options)
        container.start()
        code = _exit_code(container, timeout_s)
        output: bytes = container.logs(stdout=True, stderr=code != 0, tail=LOG_LINES)
    except docker.errors.DockerException as error:
        raise _untold(variant, str(error)) from None
    finally:
        if container is not None:
            # Gone, or being removed. If that fails, the next sweep finds it by its label.
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)
    if code is None:
        raise _untold(variant, f"it did not end within {timeout_s:g} s")
    if code != 0:
        raise _untold(variant, f"it ended with {code}", output.decode(errors="replace"))
    return told_runtime(variant, output.decode(errors="replace"))


def build_of(client: docker.DockerClient, image: str, **options: Any) -> str | None:
    """Compiler and flags of an image's program, read from a container that is never started.

    None if the program has no such record, and for an interpreted program, which no path names.
    """
    program = program_of(client.images.get(image).attrs.get("Config") or {})
    if not program.startswith("/"):
        return None
    container = client.containers.create(image, **options)
    try:
        chunks, _ = container.get_archive(program)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            (member,) = archive.getmembers()
            content = archive.extractfile(member) if member.isfile() else None
            return compilers.producer_in(content.read()) if content else None
    except docker.errors.APIError:
        return None  # for example no such file; starting it will report that
    finally:
        with contextlib.suppress(docker.errors.APIError):
            container.remove(force=True, v=True)


def program_of(config: Mapping[str, Any]) -> str:
    """The program that an image starts, from its configuration; engines may omit unset keys."""
    return str([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()), ""][0])


def _exit_code(container: Container, timeout_s: float) -> int | None:
    """The container's exit code; None if it did not end in time."""
    last_s = time.monotonic() + timeout_s
    while (left_s := last_s - time.monotonic()) > 0:
        interrupt.require_going()
        # The error of a wait that timed out depends on the version of the engine's client.
        try:
            return int(container.wait(timeout=min(LOOK_AGAIN_S, left_s))["StatusCode"])
        except OSError:
            continue
        except docker.errors.DockerException:
            return None
    return None


def _untold(variant: Variant, reason: str, log: str = "") -> ServerFault:
    return ServerFault(
        f"{variant.name}: started with `--version`, it does not print its runtime: {reason}",
        code=FailureCode.BUILD_FAILED,
        log=tail(log),
    )


def harness_image(client: docker.DockerClient, timeout_s: float) -> str:
    """The image that the load runs from; a clone of the repository builds it first.

    Raises:
        HostNotFit: it does not exist and cannot be built.
    """
    named = os.environ.get("C10K_HARNESS_IMAGE")
    if named:
        try:
            return str(client.images.get(named).id)
        except docker.errors.ImageNotFound:
            raise HostNotFit(
                f"no image `{named}` (C10K_HARNESS_IMAGE)", hint="docker compose build"
            ) from None
    root = Path(__file__).resolve().parents[2]
    if not (root / "Dockerfile").is_file():
        root = Path.cwd()
    if not (root / "Dockerfile").is_file():
        raise HostNotFit(
            f"the Docker backend needs the image `{HARNESS_IMAGE}`, and {root} has no Dockerfile",
            hint="Run `c10k` from the repository, or set C10K_HARNESS_IMAGE to an image.",
        )
    try:
        _build(
            client,
            timeout_s,
            path=str(root),
            tag=HARNESS_IMAGE,
            buildargs={"BASE": base_image(), **proxies()},
        )
    except _BuildFailed as failure:
        raise HostNotFit(
            f"building the harness's own image failed: {failure}",
            hint=f"Its last lines:\n{failure.log}",
        ) from None
    return str(client.images.get(HARNESS_IMAGE).id)


def proxies() -> dict[str, str]:
    """The proxies for a build, by name of the variable.

    In a container, Docker's configuration arrives as environment variables. Elsewhere the SDK reads
    the configuration itself, and the environment is that of the user's other programs.
    """
    if not IN_CONTAINER.exists():
        return {}
    names = [name for upper in PROXIES for name in (upper, upper.lower())]
    return {name: os.environ[name] for name in names if name in os.environ}


# A message of a build, or the error of reading it; None after the last.
Message = dict[str, Any] | Exception | None


class _BuildFailed(Exception):
    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


def _build(client: docker.DockerClient, timeout_s: float, **arguments: Any) -> None:
    """Build with a deadline, which holds for a silent build and for one with endless output."""
    said = Written()
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    # A thread reads, because a read from the engine has no deadline.
    threading.Thread(target=_pump, args=(client, arguments, messages), daemon=True).start()
    deadline_s = time.monotonic() + timeout_s
    error = None
    try:
        while (message := _next(messages, deadline_s)) is not None:
            if isinstance(message, Exception):
                raise message
            said.add(message.get("stream", "").encode())
            error = str(message["error"]).strip() if "error" in message else error
    except queue.Empty:
        error = f"took longer than {timeout_s:.0f} s"
    if error:
        raise _BuildFailed(error, tail(said.text))


def _next(messages: queue.SimpleQueue[Message], deadline_s: float) -> Message:
    """The next message. Raises queue.Empty after the deadline, Interrupted in a stopped thread."""
    while True:
        interrupt.require_going()
        left_s = deadline_s - time.monotonic()
        try:
            return messages.get(timeout=max(0.0, min(LOOK_S, left_s)))
        except queue.Empty:
            if left_s <= 0:
                raise


def _pump(
    client: docker.DockerClient,
    arguments: dict[str, Any],
    messages: queue.SimpleQueue[Message],
) -> None:
    try:
        for message in client.api.build(rm=True, forcerm=True, decode=True, **arguments):
            messages.put(message)
    except docker.errors.DockerException as error:
        messages.put({"error": str(error)})
    except (RequestException, HTTPError) as error:
        messages.put(docker_engine.gone(error))
    except (OSError, ValueError) as error:
        messages.put({"error": str(error)})
    except Exception as error:  # the engine is gone: the waiting thread raises it
        messages.put(error)
    finally:
        messages.put(None)
