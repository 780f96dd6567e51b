"""The file that says what trials started: it makes no sweep kill what it does not cover."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.backends import roster, sweeping
from harness.backends.roster import Entry, Identity, Roster
from harness.contract.errors import HostNotFit
from harness.host import server_processes

NOBODY = 65_534
TOKEN = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, apart from that of the lock."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    return directory


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "lock").mkdir()
    return tmp_path / "lock/c10k.lock"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as started:
        yield started
        started.kill()


def file_of(lock: Path, user: int | None = None) -> Path:
    return Path(f"{lock}.started-{os.geteuid() if user is None else user}")


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def line_of(pid: int, /, **other: Any) -> dict[str, Any]:
    """A line as a harness writes it for a process that it started; `other` changes it."""
    start = server_processes.processes()[pid].started_ticks
    told = {"boot": roster.boot_id(), "token": TOKEN, "pid": pid, "start": start}
    return {**told, "pids": roster.pid_namespace(), **other}


def as_bytes(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def swept(lock: Path) -> list[int]:
    return sweeping.sweep(Roster(lock))


def test_a_trial_is_in_the_file_until_it_ends_and_the_file_is_the_users_own(lock: Path) -> None:
    trials = Roster(lock)
    token = trials.begin()
    trials.add_process(token, os.getpid())

    assert file_of(lock).stat().st_mode & 0o777 == 0o600
    own = Identity(os.getpid(), server_processes.processes()[os.getpid()].started_ticks)
    (entry,) = Roster(lock).entries()
    assert entry == Entry(os.geteuid(), token, frozenset({own}))
    trials.end([token])
    assert not file_of(lock).exists()


def test_a_trial_that_ends_takes_no_other_out_of_the_file(lock: Path) -> None:
    trials = Roster(lock)
    first, second = trials.begin(), trials.begin()

    trials.end([first])

    assert [entry.token for entry in trials.entries()] == [second]
    trials.end([second])
    assert not file_of(lock).exists()


def test_a_process_that_was_recorded_is_killed(
    lock: Path, process: subprocess.Popen[bytes]
) -> None:
    write(file_of(lock), as_bytes(line_of(process.pid)))

    assert swept(lock) == [process.pid]
    assert not file_of(lock).exists()


@pytest.mark.parametrize(
    "other",
    [
        {"start": 1},
        {"boot": "another"},
        {"pids": 1},
        {"token": "short"},
        {"token": None},
        {"start": True},
        {"start": "1"},
        {"pid": [1]},
        {"pid": -1},
        {"pid": 10**30},
        {"ended": True},
    ],
)
def test_a_process_that_is_another_than_was_recorded_is_spared(
    lock: Path, process: subprocess.Popen[bytes], other: dict[str, Any]
) -> None:
    write(file_of(lock), as_bytes(line_of(process.pid, **other)))

    assert swept(lock) == []
    assert process.poll() is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0\xff\xfe\n",
        b"[" * 100_000,
        b"9" * 10_000,
        b'"text"\n[1, 2]\nnull\n7\n',
        b'{"pid": 1, "start": 1}\n{"token": {"a": 1}}\n',
    ],
)
def test_lines_that_cannot_be_read_kill_nothing_and_hide_no_others(
    lock: Path, process: subprocess.Popen[bytes], damage: bytes
) -> None:
    whole = as_bytes(line_of(process.pid))
    write(file_of(lock), damage + whole[: len(whole) // 2])

    assert swept(lock) == []
    assert process.poll() is None

    write(file_of(lock), damage + whole[: len(whole) // 2])
    trials = Roster(lock)
    trials.add_process(trials.begin(), process.pid)
    assert swept(lock) == [process.pid]


def test_a_link_a_pipe_and_a_file_that_others_may_write_are_not_trusted(
    lock: Path, tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    content, path = as_bytes(line_of(process.pid)), file_of(lock)
    theirs = tmp_path / "theirs"
    write(theirs, content)

    path.symlink_to(theirs)
    assert swept(lock) == []
    path.unlink()
    path.hardlink_to(theirs)
    assert swept(lock) == []
    path.unlink()
    os.mkfifo(path, 0o600)
    assert swept(lock) == []
    path.unlink()
    write(path, content)
    path.chmod(0o622)
    assert swept(lock) == []
    assert process.poll() is None


def test_where_a_link_takes_the_place_the_file_is_among_the_temporary_ones(
    lock: Path, tmp_path: Path, temporary: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file_of(lock).symlink_to(victim)
    trials = Roster(lock)

    token = trials.begin()

    assert victim.read_text() == "precious"
    assert len(list(temporary.iterdir())) == 1
    assert [entry.token for entry in Roster(lock).entries()] == [token]
    trials.end([token])
    assert list(temporary.iterdir()) == []


def test_nothing_is_started_that_cannot_be_recorded(lock: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(HostNotFit, match=r"c10k\.lock\.started-\d+: File too large") as raised:
            Roster(lock).begin()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "C10K_LOCK" in raised.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what other users wrote")
def test_root_kills_on_a_users_word_only_what_is_the_users(
    lock: Path, process: subprocess.Popen[bytes]
) -> None:
    path = file_of(lock, NOBODY)
    with subprocess.Popen(["sleep", "300"], user=NOBODY, start_new_session=True) as users:
        write(path, as_bytes(line_of(process.pid), line_of(users.pid)))
        os.chown(path, NOBODY, -1)
        found = swept(lock)
        users.kill()

    assert found == [users.pid]
    assert process.poll() is None

    write(path, as_bytes(line_of(process.pid)))  # root's file under the user's name
    assert swept(lock) == []
    assert process.poll() is None


def test_a_lock_has_one_file_whatever_link_leads_to_it(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(lock.parent)
    token = Roster(tmp_path / "link/c10k.lock").begin()
    monkeypatch.chdir(lock.parent)

    assert [entry.token for entry in Roster(Path("c10k.lock")).entries()] == [token]


def test_the_token_of_a_trial_is_random(lock: Path) -> None:
    tokens = {Roster(lock).begin() for _ in range(10)}

    assert len(tokens) == 10
    assert {len(token) for token in tokens} == {2 * roster.TOKEN_BYTES}
