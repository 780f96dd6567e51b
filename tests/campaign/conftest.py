"""The command under test, in a directory of its own; what it started is killed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest
from command import C10k, commands
from one_cell import busy

BUILD_TIMEOUT_S = 900


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """Docker's engine, for tests marked `docker`."""
    client = docker.from_env(timeout=BUILD_TIMEOUT_S)
    yield client
    client.close()


@pytest.fixture
def c10k(tmp_path: Path) -> Iterator[C10k]:
    with commands(tmp_path) as command:
        yield command


@pytest.fixture
def hog() -> Iterator[Callable[[Sequence[int]], None]]:
    """Starts a busy process on each of some CPUs."""
    with ExitStack() as stack:
        yield lambda cpus: stack.enter_context(busy(cpus))
