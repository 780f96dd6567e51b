"""Run a private Docker engine that may be stopped and killed: the host's engine has other users.

It runs in a network namespace of its own, without a bridge: containers of campaigns have only
loopback. The host's engine builds its images. It needs root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors

ANSWER_S = 60.0
END_S = 30.0
LOOK_S = 0.1


class PrivateEngine:
    """The engine below one directory; `start` also restarts one that was killed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"unix://{directory}/docker.sock"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it ends, or does not answer.
        """
        (self._directory / "docker.pid").unlink(missing_ok=True)  # left by a killed engine
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--net", "dockerd", "--host", self.address),
                    *("--data-root", self._directory / "data"),
                    *("--exec-root", self._directory / "exec"),
                    *("--pidfile", self._directory / "docker.pid"),
                    *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end_s = time.monotonic() + ANSWER_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() >= end_s:
                raise RuntimeError(f"the private engine did not start: {self._directory}/log")
            time.sleep(LOOK_S)

    def end(self, by: signal.Signals) -> None:
        """Send the engine a signal that ends it. Containers survive SIGKILL, not SIGTERM."""
        assert self._process is not None  # noqa: S101 (start() ran)
        self._process.send_signal(by)

    def restart(self) -> None:
        """Wait until an engine that got a signal has ended, and start it again."""
        assert self._process is not None  # noqa: S101 (start() ran)
        self._process.wait(END_S)
        self.start()

    def close(self) -> None:
        """Stop it with all its containers; its containerd ends too."""
        if self._process is None or self._process.poll() is not None:
            self.start()  # a killed engine leaves its containerd; only an engine stops it
        self.end(signal.SIGTERM)
        assert self._process is not None  # noqa: S101 (start() ran)
        self._process.wait(END_S)

    def take_over(self, names: Sequence[str]) -> None:
        """Copy images from the host's engine, unless this one has them with the same ids."""
        theirs, ours = docker.from_env(), docker.DockerClient(base_url=self.address)
        with contextlib.closing(theirs), contextlib.closing(ours):
            missing = [name for name in names if not _has(ours, theirs, name)]
        if missing:
            save = subprocess.Popen(["docker", "save", *missing], stdout=subprocess.PIPE)
            load = ["docker", "--host", self.address, "load", "--quiet"]
            subprocess.run(load, stdin=save.stdout, check=True, stdout=subprocess.DEVNULL)
            if save.wait() != 0:
                raise RuntimeError(f"`docker save {' '.join(missing)}` failed")

    def _answers(self) -> bool:
        try:
            with contextlib.closing(docker.DockerClient(base_url=self.address)) as client:
                return bool(client.ping())
        except (OSError, docker.errors.DockerException):
            return False


def _has(ours: docker.DockerClient, theirs: docker.DockerClient, name: str) -> bool:
    try:
        return bool(ours.images.get(name).id == theirs.images.get(name).id)
    except docker.errors.ImageNotFound:
        return False


@contextmanager
def running(directory: Path) -> Iterator[PrivateEngine]:
    """Run a private engine until the block ends; its directory stays."""
    engine = PrivateEngine(directory)
    engine.start()
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def used(engine: PrivateEngine) -> Iterator[None]:
    """Make all clients of this process and of its children use it."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = engine.address
    try:
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        if before is not None:
            os.environ["DOCKER_HOST"] = before
