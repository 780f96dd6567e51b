"""The command under test, in a directory of its own; what it started is killed after the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import C10k, commands


@pytest.fixture
def c10k(tmp_path: Path) -> Iterator[C10k]:
    with commands(tmp_path) as command:
        yield command
