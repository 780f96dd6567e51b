"""The lock that lets a test run alone: two processes, one file."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lanes
import pytest

HOLD = f"""
import sys
sys.path.insert(0, {str(Path(lanes.__file__).parent)!r})
from lanes import Lane
lane = Lane()
lane.enter(alone=sys.argv[1] == "alone")
lane.enter(alone=False)  # as the next test of a process that holds it
print("holds", flush=True)
sys.stdin.read()
lane.leave()
"""


@contextmanager
def holder(how: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, how]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lanes.LANES, str(tmp_path / "lanes"))


def says_so(process: subprocess.Popen[str]) -> bool:
    """Whether it holds the lock within the time that no healthy process needs."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 20)
    return bool(ready) and process.stdout.readline() == "holds\n"


def is_silent(process: subprocess.Popen[str]) -> bool:
    """Whether it still waits for the lock after a moment that is enough to ask for it."""
    assert process.stdout is not None
    return not select.select([process.stdout], [], [], 0.5)[0]


@pytest.mark.usefixtures("shared")
def test_tests_run_next_to_each_other_unless_one_runs_alone() -> None:
    with holder("shared") as first, holder("shared") as second:
        assert says_so(first)
        assert says_so(second)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(("first", "second"), [("alone", "shared"), ("shared", "alone")])
def test_one_that_runs_alone_waits_for_the_others_and_they_for_it(first: str, second: str) -> None:
    with holder(first) as running:
        assert says_so(running)
        with holder(second) as waiting:
            assert is_silent(waiting)
            running.communicate("")
            assert says_so(waiting)


@pytest.mark.usefixtures("shared")
def test_no_test_overtakes_one_that_waits_to_run_alone() -> None:
    with holder("shared") as running:
        assert says_so(running)
        with holder("alone") as waiting:
            assert is_silent(waiting)
            with holder("shared") as late:
                assert is_silent(late)
                running.communicate("")
                assert says_so(waiting)
                assert is_silent(late)
                waiting.communicate("")
                assert says_so(late)
