"""Read a text file that a person named or wrote, with one clear sentence where that fails."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

BYTES_MAX = 1 << 20
KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Unreadable(Exception):
    """Why a file cannot be read, as the end of a sentence that begins with its path."""


def kind_of(mode: int) -> str | None:
    """What a file is by its `st_mode`; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((name for is_kind, name in KINDS if is_kind(mode)), "no regular file")


def text(path: Path, bytes_max: int = BYTES_MAX) -> str:
    """Read a regular file of UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: there is no such file.
        Unreadable: it is something else than a file, too long, not UTF-8, or not readable.
    """
    try:
        content = _content(path, bytes_max)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if content.startswith(WIDE):
        raise Unreadable("is UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = content[error.start]
        raise Unreadable(f"is not UTF-8: byte 0x{found:02x} at offset {error.start}") from None


def require_readable(path: Path, bytes_max: int = BYTES_MAX) -> None:
    """Raise what `text` raises, but for a file that is not UTF-8."""
    try:
        _content(path, bytes_max)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None


def _content(path: Path, bytes_max: int) -> bytes:
    # O_NONBLOCK: a pipe without a writer would block open(2)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    kind = kind_of(os.fstat(descriptor).st_mode)
    if kind is not None:
        os.close(descriptor)
        raise Unreadable(f"is {kind}, expected a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise Unreadable(f"is longer than {bytes_max:,} bytes, the most that is read")
    return content
