"""The command under test, in a directory of its own; what it started is killed after the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from command import C10k, commands
from one_cell import BUSY, NEIGHBOUR


@pytest.fixture
def c10k(tmp_path: Path) -> Iterator[C10k]:
    with commands(tmp_path) as command:
        yield command


@pytest.fixture
def hog() -> Iterator[Callable[[Sequence[int]], None]]:
    """Starts a busy process on each of some CPUs."""
    started: list[subprocess.Popen[bytes]] = []

    def keep_busy(cpus: Sequence[int]) -> None:
        for cpu in cpus:
            busy = [sys.executable, "-c", BUSY.format(name=NEIGHBOUR)]
            started.append(subprocess.Popen(["taskset", "--cpu-list", str(cpu), *busy]))

    yield keep_busy
    for process in started:
        process.kill()
        process.wait(30)
