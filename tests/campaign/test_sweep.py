"""Campaigns that share a host on purpose, each with a lock of its own, leave each other alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.backends.base import MARK
from harness.backends.process import ProcessBackend
from harness.lock import LOCK_VARIABLE

WAIT_S = 20.0


@contextmanager
def marked(lock: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """A process as a campaign starts it, under this lock (None: the host's)."""
    env = {name: value for name, value in os.environ.items() if name != LOCK_VARIABLE}
    if lock is not None:
        env[LOCK_VARIABLE] = str(lock)
    with subprocess.Popen(["sleep", "300"], env={**env, MARK: "a-campaign"}) as process:
        yield process
        process.kill()


def test_what_belongs_to_another_lock_is_not_swept_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.lock"
    monkeypatch.setenv(LOCK_VARIABLE, str(mine))

    with marked(mine) as own, marked(tmp_path / "other.lock") as other, marked(None) as hosts:
        swept = ProcessBackend().sweep()

        assert swept == [f"process {own.pid}"]
        assert own.wait(WAIT_S) != 0
        assert other.poll() is None
        assert hosts.poll() is None
