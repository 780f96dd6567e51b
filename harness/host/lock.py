"""Allow one campaign at a time per host: two would disturb each other's measurements.

The lock is `flock(2)` on one file that every harness of a host can reach (the compose file mounts
its directory). The kernel releases it when its owner ends in any way. Its text names the owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.contract import text_files
from harness.contract.errors import HostNotFit, UsageError

LOCK_NAME = "c10k.lock"
LOCK_VARIABLE = "C10K_LOCK"
# The host name may be empty.
OWNER = re.compile(r".+, pid [0-9]+ on \S*\n", re.DOTALL)
OWNER_BYTES_MAX = 4096


def default_path() -> Path:
    """`/run/lock/c10k.lock`; the directory for temporary files where that is not writable.

    The variable C10K_LOCK names another file, for campaigns that share a host on purpose.
    """
    named = os.environ.get(LOCK_VARIABLE)
    if named:
        return Path(named)
    shared = Path("/run/lock")
    usable = os.access(shared, os.W_OK) or os.access(shared / LOCK_NAME, os.W_OK)
    return (shared if usable else Path(tempfile.gettempdir())) / LOCK_NAME


@contextmanager
def held(owner: str, path: Path | None = None) -> Iterator[None]:
    """Hold the host's lock in the name of `owner`.

    Raises:
        UsageError: the path is no regular file, or a file with other content.
        HostNotFit: another campaign holds it, or the file cannot be opened.
    """
    path = path or default_path()
    try:
        # Without O_CREAT at first: fs.protected_regular refuses it for another user's file in a
        # sticky directory, even if that file is writable.
        descriptor = _open_or_create(path)
    except IsADirectoryError:
        raise _no_file(path, "a directory") from None
    except OSError as error:
        raise HostNotFit(
            f"{path}: the campaign lock cannot be opened: {error.strerror}",
            hint="Make its directory writable. Without Compose, C10K_LOCK names another file.",
        ) from error
    try:
        kind = text_files.kind_of(os.fstat(descriptor).st_mode)
        if kind is not None:
            raise _no_file(path, kind)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip()
            raise HostNotFit(
                f"another campaign is running on this host: {holder or 'owner unknown'}",
                hint=f"Wait until it ends, or stop it; the lock is {path}.",
            ) from None
        _require_no_content(descriptor, path)
        end = os.fsencode(f", pid {os.getpid()} on {socket.gethostname()}\n")
        # Keep the end whole: it identifies the text as an owner's at the next campaign
        text = os.fsencode(owner)[: OWNER_BYTES_MAX - len(end)] + end
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # disk full: the lock works without a name in it
            os.pwrite(descriptor, text, 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _require_no_content(descriptor: int, path: Path) -> None:
    """Refuse to empty a file that holds anything but the name of an earlier owner."""
    content = os.pread(descriptor, OWNER_BYTES_MAX, 0).decode(errors="replace")
    if content and not OWNER.fullmatch(content):
        raise UsageError(
            f"{path}: the campaign lock holds other text than the name of its owner",
            hint=f"c10k empties the lock file. Set {LOCK_VARIABLE} to a file for the lock alone.",
        )


def _no_file(path: Path, kind: str) -> UsageError:
    return UsageError(
        f"{path}: the campaign lock is {kind}, expected a regular file",
        hint=f"Name a file with {LOCK_VARIABLE}, or unset it.",
    )


def _open_or_create(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o666)
        if os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, 0o666)  # despite the umask: every user's harness locks it
        return descriptor
