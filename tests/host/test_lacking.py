"""What ends a command because of the host, and not because of c10k."""

from __future__ import annotations

import errno
import os

import pytest

from harness.contract.errors import HostNotFit, lacking
from harness.host.cpus import keep_to


@pytest.mark.parametrize(
    ("error", "told", "hint"),
    [
        (OSError(errno.ENOSPC, "x", "/var/a"), "/var/a: no space left on device", "df -i"),
        (OSError(errno.EMFILE, "x"), "too many open files", "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "x"), "resource temporarily unavailable", "ulimit -u"),
        (PermissionError(errno.EACCES, "x", "/root/a"), "/root/a: permission denied", "a user who"),
        (MemoryError(), "too little memory", "ulimit -v"),
        (RuntimeError("can't start new thread"), "no more threads", "ulimit -u"),
        (FileNotFoundError(2, "No usable temporary directory found in /x"), "/x", "TMPDIR"),
    ],
)
def test_the_host_is_named_with_what_to_do(error: Exception, told: str, hint: str) -> None:
    found = lacking(error)

    assert found is not None
    assert told in found[0]
    assert hint in found[1]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        RuntimeError("x"),
        OSError("x"),
        FileNotFoundError(errno.ENOENT, "x", "/no"),
        PermissionError(errno.EPERM, "x"),
    ],
)
def test_any_other_error_is_a_bug(error: Exception) -> None:
    assert lacking(error) is None


def test_cpus_that_the_kernel_refuses_are_the_hosts_fault() -> None:
    before = os.sched_getaffinity(0)

    with pytest.raises(HostNotFit, match="cannot run on CPU 1000 only"):
        keep_to([1000])

    assert os.sched_getaffinity(0) == before
