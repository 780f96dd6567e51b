"""Bad input of every kind: one message that says what and where, and a documented exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Ended, c10k

from harness.errors import Exit

PROFILE = """
summary = "One."
trials = 1
timing = { warmup_s = 0.1, window_s = 0.2 }
TOP
[[scenarios]]
name = "idle"
connections = [10]
"""


def refused(ended: Ended, *words: str) -> None:
    """It ended with exit code 2, and its message has the words."""
    assert ended.code == Exit.USAGE, ended.err
    assert "Traceback" not in ended.err
    for one in words:
        assert one in ended.err


def dry_run(directory: Path, top: str, *more: str) -> Ended:
    """A dry run of a profile with `top` among its keys."""
    path = directory / "mine.toml"
    path.write_text(PROFILE.replace("TOP", top))
    return c10k("run", "--dry-run", "--profile", path, *more)


def test_a_server_that_should_run_twice_exists_or_the_profile_is_refused(tmp_path: Path) -> None:
    refused(dry_run(tmp_path, 'same_twice = "pol"'), "`same_twice`: no server `pol`", "`poll`?")

    left_out = dry_run(tmp_path, 'same_twice = "poll"', "--servers", "select")
    assert left_out.code == Exit.OK
    assert left_out.err.startswith("no noise floor: `same_twice` is poll")
    assert dry_run(tmp_path, 'same_twice = "poll"', "--servers", "select,poll").err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--dry-run", "--seed", str(2**64)), "18446744073709551615"),
        (("run", "--dry-run", "--budget", f"{'9' * 400}h"), "at most 720h"),
        (("run", "--resume", "x", "--blocks", "+1004"), "up to +1000"),
        (("run", "--resume", "x", "--blocks", "+٤"), "multiple of 4"),
        (("check", "poll", "--times", "10001"), "10000"),
        (("compare", "a", "b", "--fail-on-regression", "nan"), "0 to 1,000"),
    ],
)
def test_each_number_on_the_command_line_has_its_bounds(
    arguments: tuple[str, ...], words: str
) -> None:
    refused(c10k(*arguments), words)
