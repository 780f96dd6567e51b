"""The command under test, in a directory of its own; what it started is killed after the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import C10k


@pytest.fixture
def c10k(tmp_path: Path) -> Iterator[C10k]:
    command = C10k(tmp_path, [])
    yield command
    for process in command.started:
        if process.poll() is None:
            process.kill()
        process.wait(30)
