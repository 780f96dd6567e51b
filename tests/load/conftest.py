"""What the tests of the load share: a namespace of their own, and a built server."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator

import pytest
from load_trials import SERVERS, Event, LoadRun, load_runs

import harness.load  # noqa: F401 (Locust is not to patch the process that runs the tests)


@functools.cache
def lack_of_namespaces() -> str | None:
    """Why no trial can have a network namespace here, or None when it can."""
    done = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, text=True, timeout=10, check=False
    )
    return None if done.returncode == 0 else done.stderr.strip()


@functools.cache
def build_epoll() -> None:
    subprocess.run(
        ["make", "-C", str(SERVERS), "epoll-lt"], check=True, capture_output=True, timeout=120
    )


@pytest.fixture
def run_load() -> Iterator[Callable[[Event], LoadRun]]:
    """Start a load process for a trial: `run_load(spec(...))`."""
    lack = lack_of_namespaces()
    if lack is not None:
        pytest.skip(f"no network namespace for the trial: {lack}")
    build_epoll()
    with load_runs() as start:
        yield start
