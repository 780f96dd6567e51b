"""Images of variants and of the harness, built by the engine and named by what went into them."""

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
from harness.contract.codes import FailureCode
from harness.contract.errors import HostNotFit, ServerFault
from harness.host import compilers, interrupt
from harness.host.bounded_output import Written
from harness.variants.variant_files import Variant

BASE_DEFAULT = "debian:bookworm-slim"
HARNESS_IMAGE = "c10k/harness"
VARIANT_LABEL = "c10k.variant"
# The variables that an engine's client takes from the `proxies` of its configuration
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
# An engine makes this file in every container.
IN_CONTAINER = Path("/.dockerenv")
# One line is expected.
LOG_LINES = 100
# How often a build, and a wait for a container, looks whether it has to stop.
LOOK_S, LOOK_AGAIN_S = 0.2, 2.0


def base_image() -> str:
    """The base of all images: `C10K_BASE`, so that a host without a registry needs one only."""
    return os.environ.get("C10K_BASE") or BASE_DEFAULT


def shared_layers(variant: Variant) -> str:
    """Context and Dockerfile up to the first line that copies sources: equal ones share layers.

    The engine builds a layer once only if the first of two builds has it before the second begins.
    """
    lines = _text_of(variant).splitlines()
    own = [at for at, line in enumerate(lines) if line.split()[:1] in (["COPY"], ["ADD"])]
    return "\n".join([str(variant.context), *lines[: own[0] if own else len(lines)]])


def build_variant(client: docker.DockerClient, variant: Variant, timeout_s: float) -> str:
    """Build the variant's image unless one of the same content exists; return the image's id.

    Raises:
        ServerFault: it does not build; the fault carries the end of the build's output.
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
            f"{variant.name}: its image does not build: {failure}",
            code=FailureCode.BUILD_FAILED,
            hint=f"Try it alone: docker build -f {variant.dockerfile} {variant.context}",
            log=failure.log,
        ) from None
    image = client.images.get(tag)
    if (known := _tag(client, variant)) != tag:  # the build has fetched a base
        image.tag(*known.split(":"))
        client.images.remove(tag)
    return str(image.id)


def _tag(client: docker.DockerClient, variant: Variant) -> str:
    """Name of the image of these sources on the bases as they are here."""
    ids = [_id(client, name) for name in image_bases.of(_text_of(variant), base_image())]
    content = hashlib.sha256(os.fsencode(" ".join([variant.digest(), *ids]))).hexdigest()
    return f"c10k/{variant.name}:{content[:16]}"


def _text_of(variant: Variant) -> str:
    return variant.dockerfile.read_text(encoding="utf-8", errors="surrogateescape")


def _id(client: docker.DockerClient, name: str) -> str:
    try:
        return str(client.images.get(name).id)
    except docker.errors.APIError:  # not here, or no name of an image: the build says so
        return f"{name}, not here"


def runtime_of(
    client: docker.DockerClient, variant: Variant, image: str, timeout_s: float, **options: Any
) -> str:
    """What the variant's server says of its runtime, in a container with these options.

    Raises:
        ServerFault: it says nothing, or does not end.
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
            # Gone, or on its way: what an error leaves is found by its label.
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)
    if code is None:
        raise _untold(variant, f"it did not end within {timeout_s:g} s")
    if code != 0:
        raise _untold(variant, f"it ended with {code}", output.decode(errors="replace"))
    return told_runtime(variant, output.decode(errors="replace"))


def build_of(client: docker.DockerClient, image: str, **options: Any) -> str | None:
    """Compiler and flags of the program that an image starts, from a container that never starts.

    None for one that does not say, and for the program of an interpreter, which no path names.
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
        return None  # no such file, for one: its start will fail, and say so
    finally:
        with contextlib.suppress(docker.errors.APIError):
            container.remove(force=True, v=True)


def program_of(config: Mapping[str, Any]) -> str:
    """What an image starts, by its configuration; engines may leave out what is not set."""
    return str([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()), ""][0])


def _exit_code(container: Container, timeout_s: float) -> int | None:
    """How the container ended; None if it did not in time."""
    last_s = time.monotonic() + timeout_s
    while (left_s := last_s - time.monotonic()) > 0:
        interrupt.require_going()
        # What the engine says of a wait that took too long depends on the version of its client.
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
    """The image that the load runs from; from a clone it is built first.

    Raises:
        HostNotFit: it is neither there nor can it be built.
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
            hint="Run `c10k` from the repository, or name an image with C10K_HARNESS_IMAGE.",
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
            f"the harness's own image does not build: {failure}",
            hint=f"Its last lines:\n{failure.log}",
        ) from None
    return str(client.images.get(HARNESS_IMAGE).id)


def proxies() -> dict[str, str]:
    """The proxies that a build gets, by name.

    Docker's configuration reaches a container as its environment. Elsewhere the SDK reads the
    configuration itself, and the environment is that of the user's other programs.
    """
    if not IN_CONTAINER.exists():
        return {}
    names = [name for upper in PROXIES for name in (upper, upper.lower())]
    return {name: os.environ[name] for name in names if name in os.environ}


# What the engine says of a build, or how its reading failed; None behind the last.
Message = dict[str, Any] | Exception | None


class _BuildFailed(Exception):
    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


def _build(client: docker.DockerClient, timeout_s: float, **arguments: Any) -> None:
    """Build with a deadline, whether the build is silent or never ends talking."""
    said = Written()
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    # A thread reads, because nothing but silence ends a read from the engine.
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
    """The next message. Raises queue.Empty behind the deadline, Interrupted in a stopped thread."""
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
    except Exception as error:  # an engine that is gone: the thread that waits raises it
        messages.put(error)
    finally:
        messages.put(None)
