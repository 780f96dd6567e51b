"""The two lanes of `make test`: what is in them, and what runs once more."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import run_lanes
from lanes import LANES, TALLY, Tally
from run_lanes import ROOT, lanes, verdict


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


@pytest.mark.parametrize(
    ("codes", "tally", "again", "why"),
    [
        ((0, 0), Tally(), [], ""),
        # A test whose call and teardown failed has failed twice
        ((0, 1), Tally(timing=1, failed_timing=["a", "b", "a"]), ["a", "b"], ""),
        ((0, 1), Tally(timing=1, failed_timing=["a"], failed=["b"]), [], "1 tests failed"),
        ((0, 1), Tally(timing=1), [], "no test did"),
        ((5, 0), Tally(), [], ""),
        ((5, 5), Tally(), [], "no test was selected"),
        ((0, 2), Tally(), [], "broke off before its end: others"),
        ((-9, 0), Tally(), [], "broke off before its end: campaigns"),
        ((0, 1), Tally(failed_timing=[str(n) for n in range(33)]), [str(n) for n in range(33)], ""),
        ((0, 1), Tally(failed_timing=[str(n) for n in range(34)]), [], "34 of 100"),
    ],
)
def test_only_timing_tests_run_once_more_and_less_than_a_third_of_them(
    codes: tuple[int, int], tally: Tally, again: list[str], why: str
) -> None:
    counted = Tally(100 - tally.timing)

    found = verdict(dict(zip(lanes(ROOT), codes, strict=True)), [counted, tally])

    assert found[0] == again
    assert why in found[1]
    assert bool(found[1]) == bool(why)


COUNTED = """
import pytest

@pytest.fixture
def broken():
    raise OSError

@pytest.mark.timing
def test_fails(): assert False

@pytest.mark.timing
def test_has_no_fixture(broken): pass

@pytest.mark.timing
def test_passes(): pass

@pytest.mark.slow
def test_is_long(): assert False

def test_fails_at_any_time(): assert False
"""


@pytest.mark.parametrize("slow", ["", "1"])
def test_a_process_counts_its_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    for name in ("conftest.py", "lanes.py"):
        (tmp_path / name).write_text((ROOT / "tests" / name).read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  timing\n  slow\n")
    (tmp_path / "test_counted.py").write_text(COUNTED)
    monkeypatch.setenv(TALLY, str(tmp_path / "tally"))
    monkeypatch.delenv(LANES, raising=False)  # the lock is held by the process of this test
    monkeypatch.setenv("C10K_SLOW", slow)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == run_lanes.FAILED
    tally = Tally(**json.loads((tmp_path / "tally").read_text()))
    assert tally.timing == 3
    assert [name.partition("::")[2] for name in tally.failed_timing] == [
        "test_fails",
        "test_has_no_fixture",
    ]
    long = ["test_is_long"] * bool(slow)
    assert [name.partition("::")[2] for name in tally.failed] == [*long, "test_fails_at_any_time"]
    assert ("takes long; runs with C10K_SLOW=1" in done.stdout) is not bool(slow)
