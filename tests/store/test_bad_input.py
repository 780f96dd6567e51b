"""Bad input of every kind: one message that says what and where, and a documented exit code."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from inprocess import Ended, c10k

from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import Exit, UsageError
from harness.host import lock
from harness.host.lock import LOCK_VARIABLE
from harness.store.campaign_store import Campaign

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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"a = 1\nb = {'9' * 5_000}".encode(), "an integer has more than 4,300 digits (at line 2)"),
        (b"a = 0x" + b"f" * 5_000, "`a`"),
        (b"a = " + b"[" * 3_000 + b"]" * 3_000, "nested too deeply"),
        (b'summary = "\\u001b[31mred"', "`summary`: holds the control character U+001B"),
        (b"\xff\xfea\x00", "is UTF-16: save it as UTF-8"),
        (b'summary = "\xe9"', "is not UTF-8: byte 0xe9 at offset 11"),
        (b"#" * 1_100_000, "is longer than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_hard_to_read_is_named_with_what_is_wrong(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)

    refused(c10k("run", "--dry-run", "--profile", path), str(path), words)


def test_a_profile_is_a_regular_file(tmp_path: Path) -> None:
    pipe, directory = tmp_path / "pipe.toml", tmp_path / "directory.toml"
    os.mkfifo(pipe)
    directory.mkdir()

    for path, kind in ((pipe, "a named pipe"), (directory, "a directory")):
        ended = c10k("run", "--dry-run", "--profile", path)
        refused(ended, f"{path}: C102 is {kind}, expected a regular file")
    refused(c10k("run", "--dry-run", "--profile", f"{'a' * 5_000}.toml"), "File name too long")


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE.replace("TOP", ""), encoding="utf-8-sig")

    assert c10k("run", "--dry-run", "--profile", path).code == Exit.OK


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:٣", "`127.0.0.1:٣` is not an address"),
        (f"unix:///{'a' * 200}", "the path has 201 bytes, but the name of a socket holds 107"),
        ("unix:///", "is not an address"),
        ("[fe80::1%lo]:7000", "fe80::1%lo"),
        (f"{'a' * 300}:80", "is not an address"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, words: str) -> None:
    refused(c10k("drive", address), words)


@pytest.mark.parametrize(("name", "kind"), [("/dev/null", "a character device"), ("", "a dir")])
def test_the_lock_is_a_regular_file(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOCK_VARIABLE, name or str(tmp_path))

    refused(c10k("drive", "127.0.0.1:9"), f"the campaign lock is {kind}", LOCK_VARIABLE)


def test_a_file_with_content_is_no_lock_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes"
    path.write_text("keep me\n")
    monkeypatch.setenv(LOCK_VARIABLE, str(path))

    refused(c10k("drive", "127.0.0.1:9"), f"{path}: the campaign lock holds other text")

    assert path.read_text() == "keep me\n"
    path.write_text("c10k run --profile quick in /x, pid 7 on host\n")  # as a SIGKILL leaves it
    with lock.held("c10k"):
        assert "c10k, pid" in path.read_text()


@pytest.mark.parametrize(("owner", "host"), [("c10k in /x", ""), (f"c10k in /{'é' * 4000}", "h")])
def test_what_any_owner_leaves_in_the_lock_is_no_other_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, host: str
) -> None:
    path = tmp_path / "lock"
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    with lock.held(owner, path):
        left = path.read_bytes()
    assert len(left) <= lock.OWNER_BYTES_MAX
    path.write_bytes(left)  # as a SIGKILL leaves it

    with lock.held(owner, path):
        pass


@pytest.mark.parametrize(
    "command", [("report", "x"), ("run", "--resume", "x"), ("compare", "x", "y")]
)
def test_a_file_in_place_of_the_reports_is_told(tmp_path: Path, command: tuple[str, ...]) -> None:
    reports = tmp_path / "reports"
    reports.touch()

    refused(c10k(*command, "--reports", reports), f"{reports}: is a file, expected the directory")
    with pytest.raises(UsageError, match="is a file, expected the directory"):
        Campaign.create(reports, "x", CampaignHead.of({}))


def test_an_escape_sequence_in_an_argument_reaches_no_terminal(tmp_path: Path) -> None:
    for ended in (
        c10k("report", "\x1b[31mred", "--reports", tmp_path),
        c10k("run", "--profile", "\x1b[31mred"),
        c10k("run", "--backend", "\x1b[31mred"),
        c10k("\x1b[31mred"),
    ):
        refused(ended, "[31mred")
        assert "\x1b[31m" not in ended.err.replace("\x1b[31m\x1b[1merror", "")


def test_an_unknown_campaign_is_answered_with_the_nearest_and_the_latest(tmp_path: Path) -> None:
    for number in range(1_000, 3_000):
        (tmp_path / f"2026-{number}").mkdir()
        (tmp_path / f"2026-{number}" / "campaign.json").touch()

    ended = c10k("report", "2026-10007", "--reports", tmp_path)

    refused(ended, "Known campaigns: 2026-1007, 2026-2999,", "and 1,994 more.")
    assert len(ended.err) < 500


@pytest.mark.parametrize("command", ["clean", "check", "doctor", "new mine", "run", "report x"])
def test_a_file_in_the_place_of_the_reports_is_refused_by_every_command(
    tmp_path: Path, command: str
) -> None:
    path = tmp_path / "file"
    path.write_text("")

    refused(c10k(*command.split(), "--reports", path), f"{path}: is a file, expected the directory")
