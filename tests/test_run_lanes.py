"""The two lanes of `make test`: what is in them, and what runs once more."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import run_lanes
from lanes import LANES, TALLY, Tally
from run_lanes import ROOT, lanes, tally_of, unfinished, verdict
from serving import until


def files(arguments: list[str]) -> set[Path]:
    """The files of tests that pytest would run with these arguments."""
    ignored = {ROOT / one.removeprefix("--ignore=") for one in arguments if one[:2] == "--"}
    paths = [ROOT / one for one in arguments if one[:2] != "--"]
    found = [path.rglob("test_*.py") if path.is_dir() else [path] for path in paths]
    return set(itertools.chain(*found)) - ignored


def test_each_file_of_tests_is_in_one_lane() -> None:
    first, second = map(files, lanes(ROOT).values())

    assert first
    assert second
    assert not first & second
    assert first | second == set((ROOT / "tests").rglob("test_*.py"))


def tally(timing: int = 0, failed: int = 0, others_failed: int = 0) -> Tally:
    """Of so many tests marked `timing`, and of others that failed."""
    ids = [f"t{number:02}" for number in range(timing)]
    others = [f"other{number}" for number in range(others_failed)]
    every = {*ids, *others}
    return Tally(len(every), every, set(ids), {*ids[:failed], *others})


@pytest.mark.parametrize(
    ("codes", "second", "again", "why"),
    [
        ((0, 0), Tally(), 0, ""),
        ((0, 1), tally(4, 1), 1, ""),
        ((0, 1), tally(4, 1, others_failed=1), 0, "1 tests failed"),
        ((0, 1), tally(4), 0, "no test did"),
        ((5, 0), Tally(), 0, ""),
        ((5, 5), Tally(), 0, "no test was selected"),
        ((0, 2), Tally(), 0, "broke off before its end: others"),
        ((-9, 0), Tally(), 0, "broke off before its end: campaigns"),
        # A test ended its process by os._exit(0)
        ((0, 0), None, 0, "broke off before its end: others"),
        # -x ended it at a test marked `timing`
        ((0, 1), Tally(3, {"a"}, {"a"}, {"a"}), 0, "2 tests did not run"),
        ((0, 1), tally(100, 33), 33, ""),
        ((0, 1), tally(99, 33), 0, "33 of 99"),
    ],
)
def test_only_timing_tests_run_once_more_and_less_than_a_third_of_them(
    codes: tuple[int, int], second: Tally | None, again: int, why: str
) -> None:
    names = list(lanes(ROOT))

    found = verdict(
        dict(zip(names, codes, strict=True)), dict(zip(names, (Tally(), second), strict=True))
    )

    assert found[0] == [f"t{number:02}" for number in range(again)]
    assert why in found[1]
    assert bool(found[1]) == bool(why)


COUNTED = """
import pytest

@pytest.fixture
def broken():
    raise OSError

@pytest.fixture
def breaks():
    yield
    raise OSError

@pytest.mark.timing
def test_fails_twice(breaks): assert False

@pytest.mark.timing
def test_is_skipped_inside(): pytest.skip()

@pytest.mark.timing
def test_has_no_fixture(broken): pass

@pytest.mark.timing
def test_passes(): pass

@pytest.mark.slow
def test_is_long(): assert False

def test_fails_at_any_time(): assert False
"""


def counted(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tests: str, *options: str
) -> tuple[subprocess.CompletedProcess[str], Tally | None]:
    """Run tests as a lane does."""
    for name in ("conftest.py", "lanes.py"):
        (directory / name).write_text((ROOT / "tests" / name).read_text())
    (directory / "pytest.ini").write_text("[pytest]\nmarkers =\n  timing\n  slow\n")
    (directory / "test_counted.py").write_text(tests)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests/support"))  # its plugin of fixtures
    monkeypatch.setenv(TALLY, str(directory / "one.tally"))
    monkeypatch.delenv(LANES, raising=False)  # the lock is held by the process of this test
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", *options],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, tally_of("one", directory)


def names(ids: set[str]) -> list[str]:
    return sorted(name.partition("::")[2] for name in ids)


def test_the_files_that_took_long_are_told_the_longest_first() -> None:
    spent_s = {"tests/a.py": 20.4, "tests/b.py": 3.0, "tests/c.py": 100.0}

    told = run_lanes.longest({"one": Tally(waited_s=7.0, spent_s=spent_s), "two": None})

    assert told == [
        "one: 123 s of tests, and 7 s waited for tests that run alone",
        "   100 s  tests/c.py",
        "    20 s  tests/a.py",
    ]


@pytest.mark.parametrize("slow", ["", "1"])
def test_a_process_counts_each_test_that_passed_or_failed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    monkeypatch.setenv("C10K_SLOW", slow)

    done, tally = counted(tmp_path, monkeypatch, COUNTED)

    assert done.returncode == run_lanes.FAILED
    assert tally
    long = ["test_is_long"] * bool(slow)
    assert names(tally.timing) == ["test_fails_twice", "test_has_no_fixture", "test_passes"]
    assert names(tally.failed - tally.timing) == ["test_fails_at_any_time", *long]
    assert names(tally.failed & tally.timing) == ["test_fails_twice", "test_has_no_fixture"]
    assert tally.collected == len(tally.begun) == 6
    assert ("takes long; runs with C10K_SLOW=1" in done.stdout) is not bool(slow)


def test_a_process_that_stops_early_says_how_many_tests_did_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, tally = counted(tmp_path, monkeypatch, COUNTED, "-x")

    assert "5 tests did not run" in unfinished({"one": done.returncode}, {"one": tally})


def test_a_process_that_a_test_ends_with_0_has_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, tally = counted(tmp_path, monkeypatch, "import os\ndef test_ends(): os._exit(0)\n")

    assert done.returncode == run_lanes.PASSED
    assert "broke off" in unfinished({"one": done.returncode}, {"one": tally})


SLEEPS = """
import pathlib, time

def test_sleeps():
    pathlib.Path("begun").touch()
    for _ in range(2):
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            with open("signals", "a") as file:
                file.write("SIGINT ")
            time.sleep(0.5)  # in which a second one would come
            raise
"""
RUNS = """
import pathlib, run_lanes
run_lanes.ROOT = pathlib.Path.cwd()
run_lanes.interruptible()
try:
    run_lanes.ended({"one": run_lanes.start("one", ["test_sleeps.py"], pathlib.Path.cwd())})
except KeyboardInterrupt:
    raise SystemExit(run_lanes.INTERRUPTED)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_terminals_group_reaches_each_process_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_sleeps.py").write_text(SLEEPS)
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert until((tmp_path / "begun").exists)
        os.killpg(runner.pid, number)

        assert runner.wait(60) == run_lanes.INTERRUPTED
    finally:
        runner.kill()
    assert (tmp_path / "signals").read_text() == "SIGINT "
