"""Keep the roster: a file that records what the trials under one lock have started.

A killed harness cannot stop its processes. So it records them before they run. The next sweep
reads the file, and kills these processes and no others. Each line is one JSON object:

    {"boot": "…", "token": "5f…"}                                       a trial begins
    {"boot": "…", "token": "5f…", "pid": 7, "start": 99, "pids": 40…}   it started a process
    {"boot": "…", "token": "5f…", "group": "/sys/fs/cgroup/…"}          it made a control group
    {"boot": "…", "token": "5f…", "ended": true}                        nothing of it is left

`token` is random. Every server of the trial has it in its environment as `C10K_TRIAL_TOKEN`. For
the load, the kernel shows the environment of the fork server that forked it.
`boot` is the kernel's boot id; readers ignore lines from before a reboot. They also ignore unknown
keys, so that lines can gain keys, and unreadable lines, so that a cut line affects no other line.

The file is named after the lock, `/run/lock/c10k.lock.started-UID`, because the lock's holder
must find what earlier holders left. Where the user may not create it there, it is in the directory
for temporary files. Other users may write to both directories. So each user has a file, with mode
0600, and a reader trusts only a regular file that belongs to the user in its name. Root reads the
files of all users. For a user's entry, root kills only processes of that user.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract.errors import HostNotFit
from harness.host import lock, procfs

TOKEN_VARIABLE = "C10K_TRIAL_TOKEN"  # noqa: S105 (no password)
SUFFIX = "started"
GROUPS = Path("/sys/fs/cgroup")
DIGEST_LETTERS = 16
TOKEN_BYTES = 16
# A trial writes some hundred bytes per process; a larger file is not ours.
BYTES_MAX = 4 << 20
# Opening a path that is no regular file must not block, and never follows a link.
SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Identity:
    """Identify a process, even if a later one gets the same PID.

    `start` is in clock ticks since boot (/proc/PID/stat).
    """

    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What the roster of the user `owner` records of one trial that has not ended."""

    owner: int
    token: str
    started: frozenset[Identity] = frozenset()
    groups: frozenset[Path] = frozenset()


class Roster:
    """The rosters of one lock; only the lock's holder writes."""

    def __init__(self, of: Path | None = None) -> None:
        self._places = _places(of or lock.default_path())
        self._mutex = threading.Lock()

    def begin(self) -> str:
        """Record a trial before it starts anything; return its token.

        Raises:
            HostNotFit: no roster is writable.
        """
        token = secrets.token_hex(TOKEN_BYTES)
        self._append(token)
        return token

    def add_process(self, token: str, pid: int) -> None:
        """Record a child right after its start. Raises HostNotFit as `begin` does."""
        try:  # not reaped yet, so the PID is still the child's
            child = procfs.process_stat(Path(f"/proc/{pid}/stat").read_text())
        except OSError:
            return
        self._append(token, pid=pid, start=child.started_ticks, pids=pid_namespace())

    def add_group(self, token: str, directory: Path) -> None:
        """Record a control group right after its creation. Raises HostNotFit as `begin` does."""
        self._append(token, group=str(directory))

    def end(self, tokens: Iterable[str]) -> None:
        """Mark these trials as ended: none of their processes is left.

        If the roster is not writable, it keeps an entry too many, which matches no process.
        """
        ended = frozenset(tokens)
        with self._mutex:
            for path, owner in self._files():
                with contextlib.suppress(OSError):
                    content = _content(path, owner)
                    if all(entry.token in ended for entry in _entries(content, owner)):
                        path.unlink()
                    elif owner == os.geteuid():
                        for token in ended:
                            _write(path, _line(token, ended=True))

    def entries(self) -> list[Entry]:
        """All trials that have not ended, in the rosters that this user may act on."""
        found = []
        for path, owner in self._files():
            with contextlib.suppress(OSError):
                found += _entries(_content(path, owner), owner)
        return found

    def _append(self, token: str, **told: int | str) -> None:
        failures = []
        with self._mutex:
            for place in self._places:
                path = _own(place)
                try:
                    _write(path, _line(token, **told))
                except OSError as error:
                    failures.append(f"{path}: {error.strerror}")
                else:
                    return
        raise HostNotFit(
            f"cannot record what a trial starts: {'; '.join(failures)}",
            hint="Free space there, or set C10K_LOCK to a lock in a directory of your own.",
        )

    def _files(self) -> list[tuple[Path, int]]:
        """The rosters that this user may act on, with their owners; for root, all rosters."""
        found = []
        for place in self._places:
            with contextlib.suppress(OSError):
                for path in place.parent.iterdir():
                    prefix, _, owner = path.name.rpartition("-")
                    if prefix == place.name and owner.isascii() and owner.isdecimal():
                        found.append((path, int(owner)))
        return [one for one in found if os.geteuid() in (0, one[1])]


def _places(of: Path) -> tuple[Path, Path]:
    """Paths of rosters without the user: next to the lock, and among the temporary files."""
    real = Path(os.path.realpath(of))
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:DIGEST_LETTERS]
    return Path(f"{real}.{SUFFIX}"), Path(tempfile.gettempdir()) / f"c10k-{digest}.{SUFFIX}"


def _own(place: Path) -> Path:
    return Path(f"{place}-{os.geteuid()}")


def _line(token: str, **told: int | str) -> bytes:
    # Also begin with a newline: the line before may be incomplete.
    return b"\n" + json.dumps({"boot": boot_id(), "token": token, **told}).encode() + b"\n"


def _write(path: Path, line: bytes) -> None:
    """Append in one write. No fsync is needed: after a crash of the kernel no process is left."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | SAFELY, 0o600)
    try:
        _require_trusted(descriptor, os.geteuid())
        if os.write(descriptor, line) < len(line):
            raise OSError(0, "no space left for a whole line")
    finally:
        os.close(descriptor)


def _require_trusted(descriptor: int, owner: int) -> None:
    found = os.fstat(descriptor)
    by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != owner or found.st_nlink != 1 or by_others:
        raise PermissionError(0, f"is not a private file of user {owner}; remove it")


def _content(path: Path, owner: int) -> bytes:
    """Read a roster. Raises OSError if it is not readable, or not trustworthy."""
    descriptor = os.open(path, os.O_RDONLY | SAFELY)
    try:
        _require_trusted(descriptor, owner)
        return os.read(descriptor, BYTES_MAX)
    finally:
        os.close(descriptor)


def _entries(content: bytes, owner: int) -> list[Entry]:
    """The entries of a roster for trials that have not ended."""
    trials: dict[str, list[dict[str, Any]]] = {}
    for line in _lines(content):
        trials.setdefault(line["token"], []).append(line)
    return [
        _entry(owner, token, lines)
        for token, lines in trials.items()
        if not any(line.get("ended") is True for line in lines)
    ]


def _entry(owner: int, token: str, lines: Iterable[dict[str, Any]]) -> Entry:
    started, groups, here = set(), set(), pid_namespace()
    for line in lines:
        pid, start, pids, group = map(line.get, ("pid", "start", "pids", "group"))
        if type(pid) is int and type(start) is int and pids == here:
            started.add(Identity(pid, start))
        if isinstance(group, str) and _is_group_of(token, Path(group)):
            groups.add(Path(group))
    return Entry(owner, token, frozenset(started), frozenset(groups))


def _is_group_of(token: str, group: Path) -> bool:
    """Whether a path can be a control group of the trial. Other users may write rosters."""
    is_below = group.is_relative_to(GROUPS) and ".." not in group.parts
    return is_below and group.name.startswith(group_name(token, ""))


def group_name(token: str, server: str) -> str:
    """The name of the control group of one server of a trial."""
    return f"c10k-{token}-{server}"


def _lines(content: bytes) -> Iterator[dict[str, Any]]:
    for text in content.split(b"\n"):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):  # incomplete, or not ours
            continue
        if isinstance(line, dict) and line.get("boot") == boot_id() and _is_token(line):
            yield line


def _is_token(line: dict[str, Any]) -> bool:
    token = line.get("token")
    return isinstance(token, str) and len(token) == 2 * TOKEN_BYTES and token.isalnum()


@functools.cache
def boot_id() -> str:
    """A random number that the kernel makes at each boot; empty if /proc does not show it.

    Without it, a token or the start time must distinguish a process from one of another boot.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@functools.cache
def pid_namespace() -> int:
    """Inode number of the PID namespace in which this process's PIDs are valid."""
    return Path("/proc/self/ns/pid").stat().st_ino
